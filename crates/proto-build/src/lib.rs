//! Compiles `.proto` files with a protobuf compiler written in Rust, so that no machine needs
//! `protoc`, and keeps every field marked with a secret option out of the generated `Debug`.
//!
//! Called by the build scripts of `csi-proto` and `fleet-proto`, nowhere else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost::Message as _;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, Value};

/// Compiles `files` found under the package's `proto/` directory into `OUT_DIR`, one module a
/// protobuf package as `tonic::include_proto!` expects, and beside it `<package>.redacted.rs`: a `Debug` for
/// every message that has a field whose boolean option `secret_option` (full name) is true. In
/// that text a secret map shows its keys and `***`, any other secret field `***`.
///
/// # Errors
/// When a file does not compile, does not declare the option, or `OUT_DIR` cannot be written.
pub fn compile(files: &[&str], secret_option: &str) -> Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    let descriptors = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    let option = pool
        .get_extension_by_name(secret_option)
        .with_context(|| format!("no .proto file declares the option {secret_option}"))?;
    let secretive: Vec<_> = pool
        .all_messages()
        .filter(|message| message.fields().any(|field| is_secret(&field, &option)))
        .collect();

    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    for package in pool.files().map(|file| file.package_name().to_owned()).collect::<BTreeSet<_>>() {
        let of_package = secretive.iter().filter(|message| message.package_name() == package);
        write_redacting_debug(&out.join(format!("{package}.redacted.rs")), of_package, &option)?;
    }
    tonic_prost_build::configure()
        .skip_debug(secretive.iter().map(|message| message.full_name().to_owned()))
        .compile_fds(prost_types::FileDescriptorSet::decode(descriptors.as_slice())?)?;
    Ok(())
}

fn is_secret(field: &FieldDescriptor, option: &ExtensionDescriptor) -> bool {
    matches!(field.options().get_extension(option).as_ref(), Value::Bool(true))
}

fn write_redacting_debug<'a>(
    path: &Path,
    messages: impl Iterator<Item = &'a MessageDescriptor>,
    option: &ExtensionDescriptor,
) -> Result<()> {
    let mut code = String::new();
    for message in messages {
        let name = message.name();
        writeln!(code, "impl ::core::fmt::Debug for {name} {{")?;
        writeln!(code, "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
        writeln!(code, "        f.debug_struct({name:?})")?;
        for field in message.fields() {
            writeln!(code, "            .field({:?}, {})", field.name(), shown(&field, option))?;
        }
        writeln!(code, "            .finish()\n    }}\n}}\n")?;
    }
    std::fs::write(path, code).with_context(|| format!("write {}", path.display()))
}

fn shown(field: &FieldDescriptor, option: &ExtensionDescriptor) -> String {
    let name = field.name();
    match (is_secret(field, option), field.is_map()) {
        (false, _) => format!("&self.{name}"),
        (true, false) => "&\"***\"".to_owned(),
        (true, true) => format!(
            "&self.{name}.keys().map(|key| (key.as_str(), \"***\"))\
             .collect::<::std::collections::BTreeMap<_, _>>()"
        ),
    }
}
