//! A fake whose collateral is fresh at another time: what a simulated platform that keeps running hands out.

use attestation::UnixTime;
use serde_json::{Value, json};

use super::FakeTdx;
use crate::der;

const DAY_SECS: u64 = 24 * 3600;
/// Intel's statements and lists are good for about this long.
const PERIOD_SECS: u64 = 29 * DAY_SECS;

impl FakeTdx {
    /// The same platform and keys, running a TD with this measurement that asks for this REPORT_DATA.
    #[must_use]
    pub fn reporting(&self, mr_td: [u8; 48], report_data: [u8; 64]) -> Self {
        let mut fake = self.clone();
        fake.body.mr_td = mr_td;
        fake.body.report_data = report_data;
        fake
    }

    /// The same platform, with lists and statements issued a day before `now`.
    #[must_use]
    pub fn dated(mut self, now: UnixTime) -> Self {
        let issued = UnixTime(now.0.saturating_sub(DAY_SECS));
        self.now = now;
        for list in [&mut self.root_crl, &mut self.pck_crl].into_iter().flatten() {
            list.this_update = issued;
            list.next_update = now.saturating_add(PERIOD_SECS);
        }
        for statement in [&mut self.tcb_info, &mut self.qe_identity] {
            if let Some(members) = statement.as_object_mut() {
                members.insert("issueDate".to_owned(), rfc_3339(issued));
                members.insert("nextUpdate".to_owned(), rfc_3339(now.saturating_add(PERIOD_SECS)));
            }
        }
        self
    }
}

/// `YYYY-MM-DDThh:mm:ssZ`.
fn rfc_3339(at: UnixTime) -> Value {
    let (year, month, day) = der::civil_date(at.0 / DAY_SECS);
    let second = at.0 % DAY_SECS;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    json!(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}
