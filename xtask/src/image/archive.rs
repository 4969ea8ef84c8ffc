//! The archive: an OCI image layout that is also what `docker load` of any age takes.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::NOBODY;

/// Writes the image `name` of one program to `out`. The same program makes the same archive.
pub(super) fn write(out: &Path, name: &str, program: &str, bytes: &[u8]) -> Result<()> {
    let layer = layer(program, bytes)?;
    let config = serde_json::to_vec(&config(program, &digest(&layer)))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    described["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{name}"),
        "org.opencontainers.image.ref.name": name.rsplit(':').next(),
    });
    let index = json!({ "schemaVersion": 2, "manifests": [described] });
    // What `docker load` read before it knew the layout.
    let of_docker =
        json!([{ "Config": blob_path(&config), "RepoTags": [name], "Layers": [blob_path(&layer)] }]);
    let file = File::create(out).with_context(|| format!("create {}", out.display()))?;
    let mut archive = Builder::new(file);
    put(&mut archive, "oci-layout", 0o644, 0, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    for blob in [&layer, &config, &manifest] {
        put(&mut archive, &blob_path(blob), 0o644, 0, blob)?;
    }
    put(&mut archive, "index.json", 0o644, 0, &serde_json::to_vec(&index)?)?;
    put(&mut archive, "manifest.json", 0o644, 0, &serde_json::to_vec(&of_docker)?)?;
    archive.into_inner()?.sync_all().with_context(|| format!("write {}", out.display()))
}

/// What is in the image: the program, and a directory that its user may write, for a volume.
fn layer(program: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    put(&mut layer, program, 0o755, 0, bytes)?;
    let mut data = header(EntryType::Directory, 0o700, NOBODY, 0);
    layer.append_data(&mut data, "data/", std::io::empty())?;
    Ok(layer.into_inner()?)
}

fn config(program: &str, layer: &str) -> Value {
    json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "User": format!("{NOBODY}:{NOBODY}"),
            "Entrypoint": [format!("/{program}")],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created_by": "cargo xtask image" }],
    })
}

fn descriptor(media: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    let hash = Sha256::digest(blob);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

fn blob_path(blob: &[u8]) -> String {
    format!("blobs/{}", digest(blob).replace(':', "/"))
}

fn put(archive: &mut Builder<impl Write>, path: &str, mode: u32, owner: u64, bytes: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, mode, owner, bytes.len() as u64);
    Ok(archive.append_data(&mut header, path, bytes)?)
}

fn header(kind: EntryType, mode: u32, owner: u64, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(size);
    // No time: the same program makes the same image.
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    type Files = BTreeMap<String, (u32, u64, Vec<u8>)>;

    fn files(bytes: &[u8]) -> Files {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (mode, owner) = (entry.header().mode().unwrap(), entry.header().uid().unwrap());
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, (mode, owner, bytes))
        });
        entries.collect()
    }

    #[test]
    fn every_blob_has_the_digest_and_size_that_lead_to_it_and_the_program_runs_as_nobody() {
        let out = std::env::temp_dir().join(format!("image-{}.tar", std::process::id()));
        write(&out, "sim:1.0", "sim", b"the program").unwrap();
        let bytes = std::fs::read(&out).unwrap();
        write(&out, "sim:1.0", "sim", b"the program").unwrap();
        assert_eq!(std::fs::read(&out).unwrap(), bytes, "the same program makes the same image");
        std::fs::remove_file(&out).unwrap();
        let files = files(&bytes);
        let follow = |descriptor: &Value| {
            let path = format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
            let blob = &files.get(&path).unwrap().2;
            assert_eq!(descriptor["size"], blob.len());
            assert_eq!(descriptor["digest"], digest(blob));
            blob.clone()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&files["index.json"].2);
        let manifest = json(&follow(&index["manifests"][0]));
        let config = json(&follow(&manifest["config"]));
        let layer = follow(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(
            (&config["config"]["User"], &config["config"]["Entrypoint"]),
            (&json!("65534:65534"), &json!(["/sim"]))
        );
        let old = json(&files["manifest.json"].2);
        assert!(files.contains_key(old[0]["Config"].as_str().unwrap()));
        assert_eq!(old[0]["RepoTags"], json!(["sim:1.0"]));
        let inside = self::files(&layer);
        assert_eq!(inside["sim"], (0o755, 0, b"the program".to_vec()));
        assert_eq!((inside["data/"].0, inside["data/"].1), (0o700, NOBODY));
        assert_eq!(inside.len(), 2);
    }
}
