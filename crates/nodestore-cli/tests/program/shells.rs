//! `completions` and `man`.

use std::process::Command;

use crate::{Home, Run};

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn every_shell_has_a_script() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        Run::of(&mut home.command(&["completions", shell])).ok().shows(&["doctor", "sessions", "explain"]);
    }
    Run::of(&mut home.command(&["completions", "tcsh"])).exits(2).says(&["'tcsh'", "bash", "elvish"]);
    Run::of(&mut home.command(&["completions"])).exits(2).says(&["<SHELL>"]);
}

#[test]
fn bash_completes_with_its_script() {
    if !is_there("bash") {
        return;
    }
    let home = Home::new();
    let script = Run::of(&mut home.command(&["completions", "bash"])).ok().out;
    home.write("nodestore.bash", script);
    let complete = |words: &str, last: &str| {
        let words = format!(
            "source nodestore.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _nodestore nodestore '{last}' ''; echo \"${{COMPREPLY[@]}}\""
        );
        Run::of(Command::new("bash").args(["--norc", "-c", &words]).current_dir(home.path())).ok().out
    };
    assert_eq!(complete("nodestore doc", "doc"), "doctor\n");
    assert_eq!(complete("nodestore chat wi", "wi"), "window\n");
    assert_eq!(complete("nodestore search --expl", "--expl"), "--explain\n");
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let one = Run::of(&mut home.command(&["man"])).ok().shows(&[".TH nodestore 1", "nodestore\\-doctor(1)"]);
    assert!(!one.out.contains(home.path().to_str().unwrap()), "a manual page is not of one machine");
    Run::of(&mut home.command(&["man", "new/man1"])).ok().shows(&["pages written to new/man1"]);
    let folder = home.path().join("new/man1");
    for name in ["nodestore", "nodestore-search", "nodestore-chat", "nodestore-chat-window", "nodestore-man"]
    {
        let page = std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        for part in [&format!(".TH {name} 1"), ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", "Examples:\n"] {
            assert!(page.contains(part), "{part} is not in {name}: {page}");
        }
    }
    assert!(!folder.join("nodestore-help.1").exists());
    if is_there("man") {
        let page = folder.join("nodestore-chat.1");
        let shown =
            Run::of(Command::new("man").arg("-l").arg(page).env("MANPAGER", "cat").env("MANWIDTH", "90"));
        shown.ok().shows(&["nodestore-chat-window(1)", "nodestore chat append anna --role assistant"]);
    }
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let home = Home::new();
    home.write("file", "");
    Run::of(&mut home.command(&["man", "file/man1"]))
        .exits(1)
        .says(&["error: the folder file/man1 can not be made"]);
}
