//! A file that is read at start, and again when it has changed. While the new one cannot be used, the old one counts.

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tracing::{info, warn};

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `geo.asn_database`.
    Asn,
    /// `geo.country_database`.
    Country,
    /// `geo.cost_map`.
    CostMap,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Asn => "asn_database",
            Self::Country => "country_database",
            Self::CostMap => "cost_map",
        }
    }
}

/// Makes something of a file's bytes.
type Parse<T> = Box<dyn Fn(&Path, Vec<u8>) -> anyhow::Result<T> + Send + Sync>;

/// A file and what was made of it.
pub struct File<T> {
    kind: Kind,
    path: PathBuf,
    most: u64,
    parse: Parse<T>,
    current: ArcSwap<T>,
    looks: Mutex<Looks>,
    metrics: FileMetrics,
}

/// What was seen of the file.
struct Looks {
    /// When it was read last, whether that went well or not.
    read: Option<Stamp>,
    /// At the last look.
    last: Option<Stamp>,
    /// Why it could not be used.
    trouble: Option<String>,
}

/// Differs when a file was written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

impl Stamp {
    /// `None` for a file that is not there.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { modified: found.modified().ok()?, size: found.len(), inode: found.ino() })
    }
}

struct FileMetrics {
    reloads: Counter,
    failures: Counter,
    age: Gauge,
}

impl FileMetrics {
    fn new(kind: Kind) -> Self {
        let file = kind.name();
        Self {
            reloads: counter!("starling_geo_reloads_total", "file" => file),
            failures: counter!("starling_geo_reload_failures_total", "file" => file),
            age: gauge!("starling_geo_file_age_seconds", "file" => file),
        }
    }
}

impl<T> File<T> {
    /// Reads the file, where there is to be one.
    pub fn open(
        kind: Kind,
        path: Option<PathBuf>,
        most: u64,
        parse: impl Fn(&Path, Vec<u8>) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Option<Self>> {
        // Also where there is no file, so that the series exist.
        let metrics = FileMetrics::new(kind);
        let Some(path) = path else { return Ok(None) };
        let stamp = Stamp::of(&path);
        let first = read(&path, most).and_then(|bytes| parse(&path, bytes));
        let first = first.with_context(|| format!("geo.{}: {} cannot be used", kind.name(), path.display()))?;
        let looks = Looks { read: stamp, last: stamp, trouble: None };
        let current = ArcSwap::from_pointee(first);
        let file = Self { kind, path, most, parse: Box::new(parse), current, looks: Mutex::new(looks), metrics };
        file.age(stamp);
        Ok(Some(file))
    }

    /// What was made of it last.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Why it cannot be used as it is now.
    pub fn trouble(&self) -> Option<String> {
        self.looks.lock().trouble.clone()
    }

    /// Looks whether it has changed, and reads it if it has, and was the same at the last look.
    pub fn look(&self) {
        let now = Stamp::of(&self.path);
        self.age(now);
        let changed = {
            let mut looks = self.looks.lock();
            let is_settled = std::mem::replace(&mut looks.last, now) == now;
            let is_new = is_settled && looks.read != now;
            if is_new {
                looks.read = now;
            }
            is_new
        };
        if changed {
            self.reload();
        }
    }

    fn reload(&self) {
        let (name, path) = (self.kind.name(), self.path.display());
        let trouble = match read(&self.path, self.most).and_then(|bytes| (self.parse)(&self.path, bytes)) {
            Ok(new) => {
                self.current.store(Arc::new(new));
                self.metrics.reloads.increment(1);
                info!("geo.{name}: {path} has changed and was read again");
                None
            }
            Err(error) => {
                self.metrics.failures.increment(1);
                warn!("geo.{name}: {path} has changed and cannot be used, so what was read before counts: {error:#}");
                Some(format!("{name}: {error:#}"))
            }
        };
        self.looks.lock().trouble = trouble;
    }

    fn age(&self, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            self.metrics.age.set(stamp.modified.elapsed().unwrap_or_default());
        }
    }
}

fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).context("it cannot be opened")?;
    file.take(most + 1).read_to_end(&mut bytes).context("it cannot be read")?;
    ensure!(bytes.len() as u64 <= most, "it is larger than {} MiB", most >> 20);
    Ok(bytes)
}
