//! A TD quote with its collateral, every field settable, really signed under a root of Intel's kind.
//!
//! Nothing here is hardware: the root's name says `SIMULATED`, so verdicts under it are `simulated`, and under Intel's
//! root everything made here fails.

mod certificates;
mod dated;
mod keys;
mod statements;

use std::sync::OnceLock;

use attestation::UnixTime;
use attestation::tdx::{QeReport, Td15, TdReport, TdxCollateral};
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use serde_json::{Value, json};

pub use certificates::{CertificateSpec, ClaimedAlgorithm, FakePlatform, Holder, ListSpec};
use keys::P256Key;
pub use statements::{EVALUATION_NUMBER, isv_level, platform_level};

/// 2026-06-01T00:00:00Z, when the accepted case is appraised.
const NOW: UnixTime = UnixTime(1_780_272_000);
const DAY_SECS: u64 = 24 * 3600;
const SERIAL_ROOT: u64 = 0x7d_0000;
const SERIAL_CA: u64 = 0x7d_0001;
const SERIAL_PCK: u64 = 0x7d_0002;
const SERIAL_TCB_SIGNER: u64 = 0x7d_0003;
/// XFAM of the simulated TD: x87, SSE, AVX, AVX-512 and PKRU state.
const XFAM: u64 = 0x2e7;
const SEPT_VE_DISABLE: u64 = 1 << 28;

/// The keys of a test PKI.
#[derive(Debug, Clone)]
struct Keys {
    root: P256Key,
    ca: P256Key,
    pck: P256Key,
    tcb_signer: P256Key,
    attestation: P256Key,
    stranger: P256Key,
}

/// A quote and its collateral, accepted by the demo policy until a test spoils one thing.
#[derive(Debug, Clone)]
pub struct FakeTdx {
    keys: Keys,
    /// The root's certificate, issued at its first use: signatures are randomised, and roots are trusted by their bytes.
    root_der: OnceLock<Vec<u8>>,
    /// When it is appraised.
    pub now: UnixTime,
    /// Header: version.
    pub version: u16,
    /// Header: attestation key type.
    pub key_type: u16,
    /// Header: TEE type.
    pub tee_type: u32,
    /// Header: reserved.
    pub reserved: [u8; 4],
    /// Header: vendor of the quoting enclave.
    pub qe_vendor: [u8; 16],
    /// Version 5: body type; by default the one of the body.
    pub body_type: Option<u16>,
    /// The TD's report. Version 4 leaves out what TD 1.5 added.
    pub body: TdReport,
    /// The quoting enclave's report; its REPORT_DATA is filled in unless `keep_qe_report_data` is set.
    pub qe_report: QeReport,
    /// Whether the enclave report's own REPORT_DATA stands.
    pub keep_qe_report_data: bool,
    /// What the enclave hashes beside the attestation key.
    pub qe_auth_data: Vec<u8>,
    /// Who signs the enclave's report.
    pub qe_report_signed_by: Holder,
    /// Certification data types, outer and inner.
    pub certification_types: (u16, u16),
    /// The root's certificate.
    pub root: CertificateSpec,
    /// The certificate of the PCK CA.
    pub ca: CertificateSpec,
    /// The PCK certificate; its extension is filled in from `platform` unless it has one.
    pub pck: CertificateSpec,
    /// What the PCK certifies; without it the PCK certificate has no extension.
    pub platform: Option<FakePlatform>,
    /// The certificate of the TCB signer.
    pub tcb_signer: CertificateSpec,
    /// Certificates of the quote's chain, in order.
    pub pck_chain: Vec<Holder>,
    /// Certificates of the TCB signer's chain, in order.
    pub signer_chain: Vec<Holder>,
    /// The root's revocation list.
    pub root_crl: Option<ListSpec>,
    /// The revocation list of the PCK CA.
    pub pck_crl: Option<ListSpec>,
    /// TCB information before it is signed.
    pub tcb_info: Value,
    /// QE identity before it is signed.
    pub qe_identity: Value,
    /// Who signs both.
    pub statements_signed_by: Holder,
}

/// The measurement the simulated TD reports under `name`: `MRTD`, `RTMR0` to `RTMR3`.
#[must_use]
pub fn simulated_measurement(name: &str) -> [u8; 48] {
    let hash = digest(&SHA384, format!("simulated {name}").as_bytes());
    hash.as_ref().try_into().expect("invariant: SHA-384 has 48 bytes")
}

fn td_report() -> TdReport {
    TdReport {
        tee_tcb_svn: [5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        mr_seam: simulated_measurement("MRSEAM"),
        mr_signer_seam: [0; 48],
        seam_attributes: [0; 8],
        td_attributes: SEPT_VE_DISABLE,
        xfam: XFAM,
        mr_td: simulated_measurement("MRTD"),
        mr_config_id: [0; 48],
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rtmrs: ["RTMR0", "RTMR1", "RTMR2", "RTMR3"].map(simulated_measurement),
        report_data: [0x44; 64],
        td_1_5: None,
    }
}

fn qe_report() -> QeReport {
    QeReport {
        cpu_svn: [3; 16],
        misc_select: [0; 4],
        attributes: [0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0],
        mr_enclave: [0x55; 32],
        mr_signer: [0x66; 32],
        isv_prod_id: 2,
        isv_svn: 7,
        report_data: [0; 64],
    }
}

impl FakeTdx {
    /// A version 4 quote that the demo policy accepts under this fake's own root.
    #[must_use]
    pub fn accepted() -> Self {
        let key = P256Key::generate;
        let platform = FakePlatform {
            ppid: [0x77; 16],
            components: [3; 16],
            pce_svn: 11,
            pce_id: [0; 2],
            fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0],
            instance: Some(([0x88; 16], [true, false, true])),
        };
        let list = |issuer| ListSpec {
            revoked_serials: Vec::new(),
            unreadable_entry: false,
            this_update: UnixTime(NOW.0 - DAY_SECS),
            next_update: NOW.saturating_add(29 * DAY_SECS),
            issuer_name: issuer,
            signed_by: issuer,
        };
        let qe_report = qe_report();
        Self {
            keys: Keys { root: key(), ca: key(), pck: key(), tcb_signer: key(), attestation: key(), stranger: key() },
            root_der: OnceLock::new(),
            now: NOW,
            version: 4,
            key_type: 2,
            tee_type: 0x81,
            reserved: [0; 4],
            qe_vendor: [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07],
            body_type: None,
            body: td_report(),
            qe_identity: statements::qe_identity(&qe_report.mr_signer),
            qe_report,
            keep_qe_report_data: false,
            qe_auth_data: (0..32).collect(),
            qe_report_signed_by: Holder::Pck,
            certification_types: (6, 5),
            root: CertificateSpec::genuine(SERIAL_ROOT, "SIMULATED SGX Root CA", Holder::Root, true),
            ca: CertificateSpec::genuine(SERIAL_CA, "SIMULATED SGX PCK Platform CA", Holder::Root, true),
            pck: CertificateSpec::genuine(SERIAL_PCK, "SIMULATED SGX PCK Certificate", Holder::Ca, false),
            platform: Some(platform),
            tcb_signer: CertificateSpec::genuine(SERIAL_TCB_SIGNER, "SIMULATED SGX TCB Signing", Holder::Root, false),
            pck_chain: vec![Holder::Pck, Holder::Ca, Holder::Root],
            signer_chain: vec![Holder::TcbSigner, Holder::Root],
            root_crl: Some(list(Holder::Root)),
            pck_crl: Some(list(Holder::Ca)),
            tcb_info: statements::tcb_info("90C06F000000"),
            statements_signed_by: Holder::TcbSigner,
        }
    }

    /// The same as a version 5 quote of TD 1.5.
    #[must_use]
    pub fn accepted_td_1_5() -> Self {
        let mut fake = Self { version: 5, ..Self::accepted() };
        fake.body.td_1_5 = Some(Td15 { tee_tcb_svn_2: fake.body.tee_tcb_svn, mr_service_td: [0; 48] });
        fake
    }

    /// The root, DER: what a client is told to trust. Later changes of its specification have no effect.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        self.root_der.get_or_init(|| self.issue(Holder::Root))
    }

    /// A certificate of the PKI, DER. A stranger has a root's certificate with the right names and the wrong key.
    #[must_use]
    pub fn certificate(&self, holder: Holder) -> Vec<u8> {
        if holder == Holder::Root { self.root_der().to_vec() } else { self.issue(holder) }
    }

    fn issue(&self, holder: Holder) -> Vec<u8> {
        let (spec, signer) = match holder {
            Holder::Stranger => (self.root.clone(), Holder::Stranger),
            _ => (self.spec(holder), self.spec(holder).signed_by),
        };
        let issuer_name = self.spec(spec.issuer_name).common_name;
        certificates::issue(&spec, &issuer_name, self.key(holder), self.key(signer))
    }

    fn spec(&self, holder: Holder) -> CertificateSpec {
        match holder {
            Holder::Root | Holder::Stranger => self.root.clone(),
            Holder::Ca => self.ca.clone(),
            Holder::TcbSigner => self.tcb_signer.clone(),
            Holder::Pck => {
                let extension = self.platform.as_ref().map(FakePlatform::extension);
                let sgx_extension = self.pck.sgx_extension.clone().or(extension);
                CertificateSpec { sgx_extension, ..self.pck.clone() }
            }
        }
    }

    fn key(&self, holder: Holder) -> &P256Key {
        match holder {
            Holder::Root => &self.keys.root,
            Holder::Ca => &self.keys.ca,
            Holder::Pck => &self.keys.pck,
            Holder::TcbSigner => &self.keys.tcb_signer,
            Holder::Stranger => &self.keys.stranger,
        }
    }

    /// Assemble and sign the quote.
    #[must_use]
    pub fn quote(&self) -> Vec<u8> {
        let mut quote = self.signed_part();
        let mut data = self.keys.attestation.sign_fixed(&quote);
        data.extend(self.keys.attestation.coordinates());
        data.extend(certification_data(self.certification_types.0, &self.qe_certification_data()));
        quote.extend(length_32(&data));
        quote.extend(data);
        quote
    }

    fn signed_part(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.version.to_le_bytes());
        out.extend(self.key_type.to_le_bytes());
        out.extend(self.tee_type.to_le_bytes());
        out.extend(self.reserved);
        out.extend(self.qe_vendor);
        out.extend([0; 20]);
        let body = td_report_bytes(&self.body, self.version != 4);
        if self.version != 4 {
            let body_type = self.body_type.unwrap_or(if self.body.td_1_5.is_some() { 3 } else { 2 });
            out.extend(body_type.to_le_bytes());
            out.extend(length_32(&body));
        }
        out.extend(body);
        out
    }

    /// What the enclave's REPORT_DATA must be to vouch for the attestation key.
    #[must_use]
    pub fn qe_binding(&self) -> [u8; 64] {
        let bound = digest(&SHA256, &[self.keys.attestation.coordinates(), self.qe_auth_data.clone()].concat());
        let mut report_data = [0; 64];
        for (slot, byte) in report_data.iter_mut().zip(bound.as_ref()) {
            *slot = *byte;
        }
        report_data
    }

    /// QE report, signature, authentication data and the PCK chain.
    fn qe_certification_data(&self) -> Vec<u8> {
        let mut report = self.qe_report.clone();
        if !self.keep_qe_report_data {
            report.report_data = self.qe_binding();
        }
        let report = qe_report_bytes(&report);
        let signature = self.key(self.qe_report_signed_by).sign_fixed(&report);
        let auth_len = u16::try_from(self.qe_auth_data.len()).expect("invariant: authentication data is short");
        let chain = certification_data(self.certification_types.1, self.pem(&self.pck_chain).as_bytes());
        [report, signature, auth_len.to_le_bytes().to_vec(), self.qe_auth_data.clone(), chain].concat()
    }

    /// The collateral as JSON, for tests that spoil its text.
    #[must_use]
    pub fn collateral_json(&self) -> Value {
        let list = |spec: &Option<ListSpec>| {
            let sign = |spec: &ListSpec| {
                certificates::issue_list(spec, &self.spec(spec.issuer_name).common_name, self.key(spec.signed_by))
            };
            hex_text(&spec.as_ref().map(sign).unwrap_or_default())
        };
        let (tcb_info, qe_identity) = (self.tcb_info.to_string(), self.qe_identity.to_string());
        let signer = self.key(self.statements_signed_by);
        let signer_chain = self.pem(&self.signer_chain);
        json!({
            "pck_crl_issuer_chain": self.pem(&[Holder::Ca, Holder::Root]),
            "root_ca_crl": list(&self.root_crl),
            "pck_crl": list(&self.pck_crl),
            "tcb_info_issuer_chain": signer_chain,
            "tcb_info_signature": hex_text(&signer.sign_fixed(tcb_info.as_bytes())),
            "tcb_info": tcb_info,
            "qe_identity_issuer_chain": signer_chain,
            "qe_identity_signature": hex_text(&signer.sign_fixed(qe_identity.as_bytes())),
            "qe_identity": qe_identity,
        })
    }

    /// The collateral.
    #[must_use]
    pub fn collateral(&self) -> TdxCollateral {
        TdxCollateral::from_json(self.collateral_json().to_string().as_bytes())
            .expect("invariant: the fake writes well-formed collateral")
    }

    fn pem(&self, chain: &[Holder]) -> String {
        chain.iter().map(|holder| crate::pki::pem(&self.certificate(*holder))).collect()
    }
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn length_32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("invariant: parts of a quote are short").to_le_bytes()
}

fn certification_data(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &length_32(content), content].concat()
}

fn td_report_bytes(report: &TdReport, with_td_1_5: bool) -> Vec<u8> {
    let mut parts: Vec<&[u8]> =
        vec![&report.tee_tcb_svn, &report.mr_seam, &report.mr_signer_seam, &report.seam_attributes];
    let (attributes, xfam) = (report.td_attributes.to_le_bytes(), report.xfam.to_le_bytes());
    parts.extend([&attributes[..], &xfam]);
    parts.extend([&report.mr_td, &report.mr_config_id, &report.mr_owner, &report.mr_owner_config].map(|mr| &mr[..]));
    parts.extend(report.rtmrs.iter().map(|rtmr| &rtmr[..]));
    parts.push(&report.report_data);
    if let (true, Some(td_1_5)) = (with_td_1_5, &report.td_1_5) {
        parts.extend([&td_1_5.tee_tcb_svn_2[..], &td_1_5.mr_service_td]);
    }
    parts.concat()
}

fn qe_report_bytes(report: &QeReport) -> Vec<u8> {
    let (product, svn) = (report.isv_prod_id.to_le_bytes(), report.isv_svn.to_le_bytes());
    let parts: [&[u8]; 12] = [
        &report.cpu_svn,
        &report.misc_select,
        &[0; 28],
        &report.attributes,
        &report.mr_enclave,
        &[0; 32],
        &report.mr_signer,
        &[0; 96],
        &product,
        &svn,
        &[0; 60],
        &report.report_data,
    ];
    parts.concat()
}
