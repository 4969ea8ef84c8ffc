//! The simulated arrays as the lab starts them, and the questions scenes ask them.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::process::{NOBODY, Privilege, Program, program};

/// The ONTAP of journey J4: `managementLIF` 192.168.0.101, `dataLIF` 192.168.0.121, `svm1`.
#[derive(Debug)]
pub struct Ontap {
    program: Program,
    http: reqwest::Client,
}

/// The cluster of journey J4: SVIP 192.168.0.240.
#[derive(Debug)]
pub struct Solidfire {
    program: Program,
    http: reqwest::Client,
}

impl Ontap {
    /// Starts it with a NAS LIF, and an iSCSI LIF on each fabric, each on its own node.
    ///
    /// # Errors
    /// When it does not serve.
    pub async fn start(lab: &Path) -> Result<Self> {
        let arguments = [
            "--management",
            "192.168.0.101:443",
            "--svm",
            "svm1",
            "--nfs-lif",
            "192.168.0.121",
            "--portmap",
            "--default-export-rule",
            "192.168.0.0/24",
            "--iscsi-lif",
            "192.168.0.131@sim-01",
            "--iscsi-lif",
            "192.168.1.131@sim-02",
            "--user",
            "admin",
            "--password-file",
            "password",
            "--control",
            "127.0.0.1:0",
        ];
        let program = start_unprivileged(lab, "ontap-sim", &arguments, "Netapp1!").await?;
        Ok(Self { program, http: client()? })
    }

    /// SHA-256 of the only LUN's content, computed by the array.
    ///
    /// # Errors
    /// When there is not exactly one LUN.
    pub async fn lun_digest(&self) -> Result<String> {
        let luns = self.rest("/api/storage/luns").await?;
        let records = luns["records"].as_array().context("a collection has records")?;
        ensure!(records.len() == 1, "expected one LUN on the array: {records:?}");
        let name = records.first().and_then(|lun| lun["name"].as_str()).context("a LUN has a name")?;
        let url = format!("http://{}/sim/v1/luns/digest", control(&self.program)?);
        let digest: Value =
            self.http.get(url).query(&[("name", name)]).send().await?.error_for_status()?.json().await?;
        Ok(digest["sha256"].as_str().context("a digest has sha256")?.to_owned())
    }

    /// Puts a fault on an iSCSI portal, from now on and until another is put: `refuse`, `blackhole`,
    /// `none`.
    ///
    /// # Errors
    /// When the simulator knows no such portal or fault.
    pub async fn set_portal_fault(&self, portal: &str, fault: &str) -> Result<()> {
        let url = format!("http://{}/sim/v1/portals/{portal}/fault", control(&self.program)?);
        let body = json!({ "fault": fault }).to_string();
        let request = self.http.put(url).header("content-type", "application/json").body(body);
        request.send().await?.error_for_status().with_context(|| format!("put {fault} on {portal}"))?;
        Ok(())
    }

    /// A collection of its REST API.
    ///
    /// # Errors
    /// When it answers with an error.
    pub async fn rest(&self, path: &str) -> Result<Value> {
        let request =
            self.http.get(format!("https://192.168.0.101{path}")).basic_auth("admin", Some("Netapp1!"));
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    pub(super) fn log_tail(&self) -> String {
        self.program.log_tail()
    }
}

impl Solidfire {
    /// Starts it on fabric A.
    ///
    /// # Errors
    /// When it does not serve.
    pub async fn start(lab: &Path) -> Result<Self> {
        let arguments = [
            "--management",
            "192.168.0.239:443",
            "--svip",
            "192.168.0.240:3260",
            "--user",
            "user",
            "--password-file",
            "password",
            "--control",
            "127.0.0.1:0",
        ];
        let program = start_unprivileged(lab, "solidfire-sim", &arguments, "password").await?;
        Ok(Self { program, http: client()? })
    }

    /// One call of its JSON-RPC API; answers `result`.
    ///
    /// # Errors
    /// When it answers with an error.
    pub async fn element(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({ "method": method, "params": params, "id": 1 });
        let request = self
            .http
            .post("https://192.168.0.239/json-rpc/12.3")
            .basic_auth("user", Some("password"))
            .body(body.to_string());
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => bail!("{method}: {answer}"),
        }
    }

    pub(super) fn log_tail(&self) -> String {
        self.program.log_tail()
    }
}

/// A directory of its own, owned by nobody, with the program in it: the build directory may be
/// closed to other users.
async fn start_unprivileged(lab: &Path, name: &str, arguments: &[&str], password: &str) -> Result<Program> {
    let dir = lab.join(format!("array-{name}"));
    std::fs::create_dir(&dir)?;
    let own = |path: &PathBuf| chown(path, Some(NOBODY), Some(NOBODY));
    let password_file = dir.join("password");
    std::fs::write(&password_file, password)?;
    std::fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    own(&password_file)?;
    let copy = dir.join(name);
    std::fs::copy(program(name)?, &copy).with_context(|| format!("copy {name} into {}", dir.display()))?;
    own(&dir)?;
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    Program::start(&copy, &arguments, &dir, Privilege::None).await
}

fn control(program: &Program) -> Result<&str> {
    program.ready()["control"].as_str().context("a simulator says where its control endpoint is")
}

/// Accepts the simulators' own certificates: the lab asks, it does not judge their TLS.
fn client() -> Result<reqwest::Client> {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(std::time::Duration::from_secs(60))
        .build()?)
}
