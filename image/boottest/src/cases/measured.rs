//! Measured boot: the registers of a real TPM 2.0 (in software) after a boot of the unified image are those the manifest predicts.

use crate::cases::Case;
use crate::context::{BOOT_LIMIT, Context, Image, tail};
use crate::outside::SoftwareTpm;
use crate::report::Verdict;
use crate::vm::{Boot, Machine, Outcome};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("PCR 4, 9 and 11 are as the manifest says", |context| {
            let image = &context.test;
            compare(
                context,
                image,
                Boot::Unified { firmware: context.general_firmware.clone(), uki: image.file("uki.efi") },
            )
        }),
        Case::new("a changed unified image gives other PCRs", |context| {
            let image = &context.test;
            let uki = image.read("uki.efi")?;
            // A bit of the operating system's description: the image still starts.
            let at = uki.windows(7).position(|window| window == b"Cloiste").unwrap_or_default();
            let boot = Boot::Unified {
                firmware: context.general_firmware.clone(),
                uki: context.flipped(&image.file("uki.efi"), u64::try_from(at)?)?,
            };
            Ok(match compare(context, image, boot)? {
                Verdict::Failed(seen) if seen.contains("predicted") => Verdict::Passed(seen),
                Verdict::Passed(_) => Verdict::Failed("the registers did not change".to_owned()),
                other => other,
            })
        }),
    ]
}

fn compare(context: &Context, image: &Image, boot: Boot) -> anyhow::Result<Verdict> {
    let folder = context.folder()?;
    let tpm = SoftwareTpm::start(&folder)?;
    let mut machine = Machine::new(boot, image.disks());
    machine.tpm = Some(tpm.control.clone());
    let mut vm = machine.start(&folder)?;
    let Outcome::Said(_) = vm.wait_for("PCR 11 ", BOOT_LIMIT) else {
        return Ok(Verdict::Failed(format!("the guest reported no registers: {}", tail(&vm.console()))));
    };
    // The line may still be arriving.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let console = vm.console();
    let reported = |number: u32| {
        let words = format!("PCR {number} ");
        let line = console.lines().find_map(|line| line.find(&words).and_then(|at| line.get(at + words.len()..)));
        line.map(|value| value.trim().to_lowercase()).unwrap_or_default()
    };
    let Some(predicted) = &image.manifest.vtpm else {
        return Ok(Verdict::Failed("the manifest predicts none".to_owned()));
    };
    for (number, predicted) in [(4, predicted.pcr4), (9, predicted.pcr9), (11, predicted.pcr11)] {
        let (got, predicted) = (reported(number), predicted.to_string());
        if got != predicted {
            return Ok(Verdict::Failed(format!(
                "PCR {number}: predicted {predicted:.16}…, the guest reports {got:.16}…"
            )));
        }
    }
    Ok(Verdict::Passed(format!("PCR 4 {} …, 9, 11: predicted = reported", reported(4).get(..16).unwrap_or_default())))
}
