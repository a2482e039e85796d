//! What a command tells: one JSON object, or the same for people.
//!
//! Decides: nothing. Every object has `verdict`, `assurance`, `checks` and `error`; commands add members of their own.

use std::path::PathBuf;

use attestation::{Appraisal, Outcome, Transcript};
use serde_json::{Map, Value, json};
use verifier::{Error, Exit};

/// The object being built.
#[derive(Debug, Default)]
pub(crate) struct Report {
    verdict: Option<&'static str>,
    assurance: Option<String>,
    pub(crate) transcript: Transcript,
    members: Map<String, Value>,
    error: Option<Value>,
    printed: bool,
    /// A file that gets the object too, in whatever mode.
    pub(crate) file: Option<PathBuf>,
}

impl Report {
    /// The node, or the stored receipt, was accepted.
    pub(crate) fn verified(&mut self, verdict: &'static str, assurance: Option<String>) {
        self.verdict = Some(verdict);
        self.assurance = assurance;
    }

    /// Adds a member.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// What was established about the node.
    pub(crate) fn put_appraisal(&mut self, appraisal: &Appraisal) {
        self.put(
            "node",
            json!({
                "launch_digest": appraisal.launch_digest(),
                "product": appraisal.product(),
                "machine_id": appraisal.machine_id(),
                "tcb": appraisal.tcb(),
                "keyset_digest": appraisal.keyset_digest(),
                "policy": appraisal.policy_name(),
                "policy_digest": appraisal.policy_digest(),
                "unchecked": appraisal.unchecked(),
                "claims": appraisal.result().claims(),
            }),
        );
    }

    /// The command failed.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.verdict = Some(error.exit().verdict());
        let message = verifier::error::chain(error);
        self.error = Some(json!({"code": error.code(), "message": message, "hint": error.hint()}));
    }

    /// Marks the object as printed, for a command that goes on after it.
    pub(crate) fn take_object(&mut self) -> Option<Value> {
        if self.printed {
            return None;
        }
        self.printed = true;
        let mut object = std::mem::take(&mut self.members);
        object.insert("verdict".to_owned(), self.verdict.unwrap_or("OK").into());
        object.insert("assurance".to_owned(), self.assurance.clone().into());
        object.insert("checks".to_owned(), serde_json::to_value(&self.transcript).unwrap_or_default());
        object.insert("error".to_owned(), self.error.clone().unwrap_or_default());
        Some(Value::Object(object))
    }

    /// `12 checks passed, 3 skipped`.
    pub(crate) fn summary(&self) -> String {
        let count = |wanted| self.transcript.checks.iter().filter(|check| check.outcome == wanted).count();
        match (count(Outcome::Pass), count(Outcome::Skip)) {
            (passed, 0) => format!("{passed} checks passed"),
            (passed, skipped) => format!("{passed} checks passed, {skipped} skipped"),
        }
    }
}

/// The verdict line for people; nothing when nothing was decided.
pub(crate) fn verdict_word(exit: Exit) -> Option<&'static str> {
    matches!(exit, Exit::Rejected | Exit::Unsupported | Exit::Malformed).then(|| exit.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_the_four_members() {
        let mut report = Report::default();
        report.transcript.pass("snp.signature", "P-384");
        report.transcript.skip("snp.host_data", "unchecked by policy");
        report.put("extra", json!(1));
        assert_eq!(report.summary(), "1 checks passed, 1 skipped");
        report.fail(&Error::Choice { code: "choice.model", message: "no such model".to_owned() });
        let object = report.take_object().unwrap();
        assert_eq!(object["verdict"], "ERROR");
        assert_eq!(object["error"]["code"], "choice.model");
        assert!(object["error"]["hint"].as_str().unwrap().contains("--model"));
        assert_eq!(object["checks"][0], json!({"id": "snp.signature", "outcome": "PASS", "detail": "P-384"}));
        assert!(object["assurance"].is_null());
        assert_eq!(object["extra"], 1);
        assert!(report.take_object().is_none(), "exactly one object");
    }
}
