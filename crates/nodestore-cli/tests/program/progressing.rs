//! The bars of long work, as a terminal shows them while an endpoint fails.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Home;
use super::embedders::openai;
use super::endpoint::Endpoint;

/// Both ends of a terminal of 120 columns.
fn terminal() -> (OwnedFd, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let path = std::ffi::OsStr::from_bytes(name.as_bytes());
    let theirs = OpenOptions::new().read(true).write(true).open(path).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 30, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (ours, theirs)
}

/// Runs a command whose stderr is a terminal; its exit code, and everything that the terminal was sent.
fn shown(command: &mut Command) -> (i32, String) {
    let (ours, theirs) = terminal();
    let mut child = command.stdout(Stdio::null()).stderr(theirs).spawn().unwrap();
    // The command holds the other end still; with ours of it open, reading would never end.
    command.stderr(Stdio::null());
    let (mut terminal, mut all) = (File::from(ours), Vec::new());
    let mut part = [0; 4096];
    // A terminal that nobody writes to any more answers an error, not an end.
    while let Ok(read @ 1..) = terminal.read(&mut part) {
        all.extend_from_slice(part.get(..read).unwrap());
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8_lossy(&all).into_owned())
}

/// The bars in what was shown: what is done and the whole, as `done/whole unit`, and what is left of the line.
fn bars(shown: &str) -> Vec<(String, String, String)> {
    let lines = shown.split(['\r', '\n']).filter(|line| line.contains(['█', '░']));
    let bars = lines.filter_map(|line| {
        let (done, rest) = line.split_once('/')?;
        let done = done.rsplit(['█', '░']).next()?.trim();
        let (whole, rest) = rest.split_once("  ")?;
        Some((done.to_owned(), whole.to_owned(), rest.to_owned()))
    });
    bars.collect()
}

/// MiB of `1.50 MiB`.
fn mebibytes(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap();
    let scale = match unit {
        "B" => 1_048_576.0,
        "KiB" => 1024.0,
        "MiB" => 1.0,
        other => panic!("{other}"),
    };
    number.parse::<f64>().unwrap() / scale
}

/// What is done only grows, and never beyond the whole.
#[track_caller]
fn assert_grows(done: &[f64], whole: f64) {
    assert!(done.is_sorted(), "{done:?}");
    assert!(done.last().is_some_and(|last| *last <= whole), "{done:?} of {whole}");
    assert!(done.iter().any(|some| *some > 0.0 && *some < whole), "{done:?} of {whole}");
}

/// Events stand on lines of their own, above the bar.
#[track_caller]
fn assert_lines(shown: &str) {
    let torn = |line: &str| line.contains("embedding again") && line.contains(['█', '░']);
    assert!(!shown.split(['\r', '\n']).any(torn), "{shown}");
}

#[test]
fn bars_are_right_while_an_endpoint_fails() {
    let home = Home::new();
    // More than what is stored at once.
    for number in 0..40 {
        let lines = (0..3000).map(|line| format!("This is line {line} of {number}.\n"));
        home.write(&format!("docs/{number}.txt"), lines.collect::<String>());
    }
    home.write("docs/bad.md", b"not UTF-8: \xFF");
    let files = std::fs::read_dir(home.path().join("docs")).unwrap();
    let whole: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let whole = whole as f64 / 1_048_576.0;

    let endpoint = Endpoint::faulty(14, 24);
    let embedder = openai(&endpoint);
    let mut ingest = home.command(&["-v", "ingest", "docs", "--chunk-size", "4000", "--embedder", &embedder]);
    let (code, ingested) = shown(ingest.env("NODESTORE_URL", "kb").env("OPENAI_API_KEY", "k"));
    assert_eq!(code, 3, "{ingested}");
    assert_eq!(ingested.matches("skipped docs/bad.md").count(), 1, "{ingested}");
    let frames = bars(&ingested);
    assert!(frames.iter().all(|(_, all, _)| *all == format!("{whole:.2} MiB")), "{ingested}");
    assert!(frames.iter().all(|(_, _, rest)| rest.contains("/s")), "{ingested}");
    // Two digits behind the point are rounded.
    assert_grows(&frames.iter().map(|(done, _, _)| mebibytes(done)).collect::<Vec<_>>(), whole + 0.006);

    assert!(ingested.contains("embedding again"), "{ingested}");
    assert_lines(&ingested);

    let nodes = home.vectors().len();
    let endpoint = Endpoint::faulty(5, 12);
    let mut reembed = home.command(&["reembed", "--embedder", &openai(&endpoint)]);
    let (code, moved) = shown(reembed.env("NODESTORE_URL", "kb").env("OPENAI_API_KEY", "k"));
    assert_eq!(code, 0, "{moved}");
    let frames = bars(&moved);
    assert!(frames.iter().all(|(_, all, _)| *all == format!("{nodes} nodes")), "{nodes}: {moved}");
    let done: Vec<f64> = frames.iter().map(|(done, _, _)| done.parse().unwrap()).collect();
    assert_grows(&done, nodes as f64);
    assert_lines(&moved);
}
