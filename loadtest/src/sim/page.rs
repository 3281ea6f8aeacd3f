//! The report as one page: tables, plots, and what was assumed. Nothing is loaded from anywhere.

use std::fmt::Write;

use super::{
    pictures::Picture,
    report::{COLUMNS, PROTOTYPE, verdicts},
    runs::{Comparison, Part, Result},
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:1120px;margin:2rem auto;padding:0 1rem;background:#fff;color:#1f2328}\
    table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #d1d9e0}\
    th,td{white-space:nowrap}th:first-child,td:first-child{text-align:left}.scroll{overflow-x:auto}figure{margin:1.5rem 0}figure svg{max-width:100%;height:auto}\
    figcaption,.faint{color:#59636e;font-size:14px}.no{color:#d1242f;font-weight:600}.yes{color:#1a7f37;font-weight:600}\
    @media (prefers-color-scheme:dark){body{background:#0d1117;color:#f0f6fc}th,td{border-color:#2f353d}figcaption,.faint{color:#9198a1}.no{color:#ff7b72}.yes{color:#3fb950}}";

/// What the columns mean.
const LEGEND: &str = "per link: attempts per link · 1st byte: from arrival to the first byte from a peer, median and 95 % of those who got one · \
    never: of those who can link and stayed a minute · busiest: share of all upload · no link: after half a minute · late: segments that came after they were to be played · \
    1 s and 60 s: introductions of one peer in the flash crowd's first second and minute, the most and the median of those who had any";

const ASSUMED: &str = "Every number that the simulator takes for granted stands, with its source, in loadtest/src/sim/assumptions.rs. \
    Selection, scores, evidence, learned pairs and the sampling of candidates are the server's own code; network, clients and players are a model.";

/// The page.
pub fn html(comparison: &Comparison, results: &[Result], pictures: &[Picture]) -> String {
    let Comparison { viewers, minutes, seeds, .. } = comparison;
    let mut body = format!(
        "<h1>Who meets whom</h1><p>{viewers} viewers at the peak, half of whom come within one minute; {minutes} simulated minutes; \
         means of {} {}.</p>",
        seeds.len(),
        if seeds.len() == 1 { "seed" } else { "seeds" }
    );
    let verdicts = verdicts(results);
    if !verdicts.is_empty() {
        body.push_str("<ul>");
        for (said, reached) in verdicts {
            let (class, word) = if reached { ("yes", "reached") } else { ("no", "not reached") };
            let _ = write!(body, r#"<li><span class="{class}">{word}</span>: {said}</li>"#);
        }
        body.push_str("</ul>");
    }
    for (part, title, shown) in [
        (Part::Strategies, "Strategies", &["strategies", "first-byte", "upload", "cdn-load", "introductions"][..]),
        (Part::Conduct, "Those who do not play fair", &["conduct"]),
        (Part::Ablations, "Without each part", &["ablations"]),
    ] {
        let rows: Vec<&Result> = results.iter().filter(|result| result.case.part == part).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(body, "<h2>{title}</h2>");
        body.push_str(&table(&rows));
        if part == Part::Strategies {
            body.push_str(&prototype());
        }
        for picture in pictures.iter().filter(|picture| shown.contains(&picture.name)) {
            let _ = write!(body, "<figure>{}<figcaption>{}</figcaption></figure>", picture.svg, picture.says);
        }
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Who meets whom: Starling's simulator</title>\
         <style>{STYLE}</style><body>{body}<p class=\"faint\">{ASSUMED}</p></body></html>\n"
    )
}

fn table(rows: &[&Result]) -> String {
    let mut out = String::from(r#"<div class="scroll"><table><tr><th></th>"#);
    for (heading, _) in COLUMNS {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>");
    for row in rows {
        let _ = write!(out, "<tr><td>{}</td>", row.case.name);
        for (_, written) in COLUMNS {
            let _ = write!(out, "<td>{}</td>", written(&row.mean()));
        }
        out.push_str("</tr>");
    }
    let _ = write!(out, r#"</table></div><p class="faint">{LEGEND}</p>"#);
    out
}

fn prototype() -> String {
    let mut out = String::from(
        r#"<p class="faint">A research prototype of this design, with another model of the network, found offload, connect success and cross-AS share of: "#,
    );
    for (n, (name, found)) in PROTOTYPE.iter().enumerate() {
        let found: Vec<String> =
            found.iter().map(|value| value.map_or("–".to_owned(), |value| format!("{value:.2}"))).collect();
        let _ = write!(out, "{}{name} {}", if n == 0 { "" } else { "; " }, found.join(", "));
    }
    out.push_str(".</p>");
    out
}
