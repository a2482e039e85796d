"""SEV-SNP launch digests by sev-snp-measure: one JSON object per line in, one digest (hex) per line out.

A line has `firmware`, `kernel`, `initrd`, `cmdline` (paths and text, empty for none), `vcpus`, `cpu`, `vmm`
("QEMU", "ec2", "gce") and `guest_features`. A CPU model that sev-snp-measure does not know gives `unknown CPU model`.
With `--seconds N` every digest is computed N times and its median time in seconds printed instead.
"""

import json
import statistics
import sys
import time

from sevsnpmeasure import guest, vcpu_types
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vmm_types import VMMType


def digest(launch: dict) -> str:
    """One launch digest."""
    return guest.calc_launch_digest(
        SevMode.SEV_SNP,
        launch["vcpus"],
        vcpu_types.CPU_SIGS[launch["cpu"]],
        launch["firmware"],
        launch["kernel"] or None,
        launch["initrd"] or None,
        launch["cmdline"],
        launch["guest_features"],
        vmm_type=VMMType[launch["vmm"]],
    ).hex()


def seconds(launch: dict, rounds: int) -> float:
    """Median time of one digest."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        digest(launch)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Answer line by line."""
    rounds = int(sys.argv[2]) if sys.argv[1:2] == ["--seconds"] else 0
    for line in sys.stdin:
        launch = json.loads(line)
        if launch["cpu"] not in vcpu_types.CPU_SIGS:
            print(f"unknown CPU model {launch['cpu']}")
            continue
        print(f"{seconds(launch, rounds):.9f}" if rounds else digest(launch))


if __name__ == "__main__":
    main()
