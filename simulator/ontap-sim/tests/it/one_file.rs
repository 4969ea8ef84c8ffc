//! The program is one file: it needs no other, no user of its own and no privilege.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ontap-sim");

/// Program headers of an ELF file of 64 bits (System V ABI, chapter 5): their types.
fn segments(elf: &[u8]) -> Vec<u32> {
    let number = |at: usize, bytes: usize| {
        let field = elf[at..at + bytes].iter().rev();
        field.fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01");
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).map(|segment| u32::try_from(number(table + segment * size, 4)).unwrap()).collect()
}

#[test]
fn the_program_names_no_interpreter() {
    const LOAD: u32 = 1;
    const INTERPRETER: u32 = 3;
    let segments = segments(&std::fs::read(PROGRAM).unwrap());
    assert!(segments.contains(&LOAD) && !segments.contains(&INTERPRETER), "{segments:?}");
}

#[test]
fn alone_in_a_root_of_its_own_it_serves_as_nobody() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("not run: another root and another user need root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(PROGRAM, root.path().join("ontap-sim")).unwrap();
    // What every container has (OCI runtime specification, default devices).
    std::fs::create_dir(root.path().join("dev")).unwrap();
    for (name, minor) in [("random", "8"), ("urandom", "9")] {
        let device = root.path().join("dev").join(name);
        let made = Command::new("mknod").arg("--mode=666").arg(&device).args(["c", "1", minor]).status();
        assert!(
            made.unwrap().success() && std::fs::File::open(&device).is_ok(),
            "no device can be made here"
        );
    }
    let mut child = Command::new("chroot")
        .arg("--userspec=65534:65534")
        .arg(root.path())
        .arg("/ontap-sim")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
}
