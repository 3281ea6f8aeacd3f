//! The outer grammar of what peers send each other: lines of a session description (RFC 8866, section 5) with one
//! data-channel section, and candidates (RFC 8839, section 5.1). Contents are passed on as they are.

/// Longest candidate, in bytes.
const MAX_CANDIDATE: usize = 512;

/// What breaks the grammar. Names a line's type, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The first line is another one than `v=0`.
    #[error("sdp does not begin with v=0")]
    Version,
    /// A line that is not a letter, `=` and text.
    #[error("sdp line {0} is not of the form type=value")]
    Line(usize),
    /// A section of another kind.
    #[error("sdp has an m= section that is not a data channel")]
    Section,
    /// None, or more than one.
    #[error("sdp has not exactly one m= section")]
    Sections,
    /// Not `candidate:` and one line of text.
    #[error("a candidate is a line that begins with candidate: of at most {MAX_CANDIDATE} bytes")]
    Candidate,
}

/// Whether `sdp` has the form of a description with exactly one data-channel section.
pub fn check_description(sdp: &str) -> Result<(), SdpError> {
    let lines = sdp.strip_suffix('\n').unwrap_or(sdp).split('\n');
    let mut lines = lines.map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    if lines.next() != Some(("v=0", 1)) {
        return Err(SdpError::Version);
    }
    let mut sections = 0;
    for (line, number) in lines {
        let well_formed = matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..]) && !has_control(line);
        if !well_formed {
            return Err(SdpError::Line(number));
        }
        if line.starts_with("m=") {
            if !line.starts_with("m=application ") {
                return Err(SdpError::Section);
            }
            sections += 1;
        }
    }
    if sections == 1 { Ok(()) } else { Err(SdpError::Sections) }
}

/// Whether `candidate` has the form of one.
pub fn check_candidate(candidate: &str) -> Result<(), SdpError> {
    let well_formed =
        candidate.starts_with("candidate:") && candidate.len() <= MAX_CANDIDATE && !has_control(candidate);
    if well_formed { Ok(()) } else { Err(SdpError::Candidate) }
}

/// Whether `text` has a control character. Looks at bytes, many at a time, as long as they are ASCII.
fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().fold(false, |found, byte| found | byte.is_ascii_control())
    } else {
        text.contains(char::is_control)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub const DESCRIPTION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";

    #[test]
    fn a_description_has_one_data_channel_section() {
        assert_eq!(check_description(DESCRIPTION), Ok(()));
        assert_eq!(check_description(&DESCRIPTION.replace('\r', "")), Ok(()));
        assert_eq!(check_description(""), Err(SdpError::Version));
        assert_eq!(check_description("v=0"), Err(SdpError::Sections));
        assert_eq!(check_description("v=1\r\n"), Err(SdpError::Version));
        assert_eq!(check_description("v=0\r\nhello\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description("v=0\r\n\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description("v=0\r\na=\u{7}\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description("v=0\r\na=\u{7f}\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description("v=0\r\ns=\u{85}ü\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description(&DESCRIPTION.replace("s=-", "s=ü")), Ok(()));
        assert_eq!(check_description("v=0\nm=application 9\r\r\n"), Err(SdpError::Line(2)));
        assert_eq!(check_description(&DESCRIPTION.replace("application", "video")), Err(SdpError::Section));
        assert_eq!(check_description(&format!("{DESCRIPTION}m=application 9 x y\r\n")), Err(SdpError::Sections));
    }

    #[test]
    fn a_candidate_is_one_line() {
        assert_eq!(check_candidate("candidate:1 1 udp 1 192.0.2.1 9 typ host"), Ok(()));
        for bad in ["", "a=candidate:1", "candidate:1\r\na=x", &format!("candidate:{}", "x".repeat(512))] {
            assert_eq!(check_candidate(bad), Err(SdpError::Candidate));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(v=0\r?\n)?([a-z]=\\PC{0,8}\r?\n|m=application x\n|\\PC{0,8}\n){0,6}") {
            let _ = check_description(&text);
            let _ = check_candidate(&text);
        }
    }
}
