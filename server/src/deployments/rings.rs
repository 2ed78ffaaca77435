//! Which machine belongs to which ring of a deployment. Pure.
//!
//! A hash of deployment and machine decides, so that other machines are the first ones in every deployment. Each ring
//! takes about the same share of every site and every platform. A machine's ring is stored and never changes; machines
//! that join later belong to the last ring, so that nobody becomes one of the first by chance.

use banyan_proto::{DeploymentId, Digest, MachineId, Site, rollout::RingSize};
use std::collections::BTreeMap;

/// A machine that is put into a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RingCandidate {
    pub(crate) machine: MachineId,
    pub(crate) site: Site,
    pub(crate) platform: String,
}

/// Returns a number between 0 and 1 that is always the same for these bytes.
fn fraction(deployment: DeploymentId, bytes: &[u8]) -> f64 {
    let hash = Digest::of(&[deployment.0.as_slice(), bytes].concat());
    let first: [u8; 4] = [hash.0[0], hash.0[1], hash.0[2], hash.0[3]];
    f64::from(u32::from_be_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}

/// Returns the machines in the order in which the rings take them: the machines of each site and platform in the order
/// of their hashes, spread evenly over the whole.
#[expect(clippy::cast_precision_loss, reason = "numbers of machines are small")]
fn in_ring_order(deployment: DeploymentId, candidates: &[RingCandidate]) -> Vec<MachineId> {
    let mut strata = BTreeMap::<(String, &str), Vec<MachineId>>::new();
    for candidate in candidates {
        strata.entry((candidate.site.to_string(), &candidate.platform)).or_default().push(candidate.machine);
    }
    let mut places: Vec<(f64, MachineId)> = Vec::with_capacity(candidates.len());
    for ((site, platform), mut machines) in strata {
        machines
            .sort_by(|a, b| fraction(deployment, &a.0).total_cmp(&fraction(deployment, &b.0)).then_with(|| a.cmp(b)));
        let offset = fraction(deployment, format!("{site} {platform}").as_bytes());
        let count = machines.len() as f64;
        places.extend(machines.into_iter().enumerate().map(|(at, machine)| ((at as f64 + offset) / count, machine)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    places.into_iter().map(|(_, machine)| machine).collect()
}

/// Returns the index of each machine's ring. A ring can be empty if the ones before have all of its machines.
pub(crate) fn assign_rings(
    deployment: DeploymentId,
    sizes: &[RingSize],
    candidates: &[RingCandidate],
) -> BTreeMap<MachineId, u32> {
    let ordered = in_ring_order(deployment, candidates);
    let ends: Vec<usize> = sizes.iter().map(|size| size.of(ordered.len())).collect();
    let ring_of = |at: usize| ends.iter().position(|end| at < *end).unwrap_or(ends.len().saturating_sub(1));
    let rings = ordered.iter().enumerate().map(|(at, machine)| (*machine, u32::try_from(ring_of(at)).unwrap_or(0)));
    rings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: u32) -> MachineId {
        MachineId(Digest::of(&number.to_be_bytes()).0[..16].try_into().unwrap())
    }

    /// Machines of three sites of different sizes and two platforms.
    fn fleet(count: u32) -> Vec<RingCandidate> {
        let candidate = |number: u32| RingCandidate {
            machine: machine(number),
            site: format!("10.0.{}.0/24", [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][number as usize % 10]).parse().unwrap(),
            platform: if number.is_multiple_of(4) { "windows-x86_64" } else { "linux-x86_64" }.to_owned(),
        };
        (0..count).map(candidate).collect()
    }

    fn sizes(text: &str) -> Vec<RingSize> {
        text.split(',').map(|size| size.parse().unwrap()).collect()
    }

    fn members(rings: &BTreeMap<MachineId, u32>, most: u32) -> Vec<MachineId> {
        rings.iter().filter(|(_, ring)| **ring <= most).map(|(machine, _)| *machine).collect()
    }

    #[test]
    fn shares_hold_in_every_site_and_on_every_platform() {
        let (fleet, deployment) = (fleet(10_000), DeploymentId([7; 16]));
        let rings = assign_rings(deployment, &sizes("10%,50%,all"), &fleet);
        for (most, share) in [(0, 0.1), (1, 0.5), (2, 1.0)] {
            assert_eq!(members(&rings, most).len(), (share * 10_000.0) as usize);
            let mut strata = BTreeMap::<_, (usize, usize)>::new();
            for candidate in &fleet {
                for key in [candidate.site.to_string(), candidate.platform.clone()] {
                    let (inside, all) = strata.entry(key).or_default();
                    *all += 1;
                    *inside += usize::from(rings[&candidate.machine] <= most);
                }
            }
            for (stratum, (inside, all)) in strata {
                let found = inside as f64 / all as f64;
                assert!((found - share).abs() < 0.01, "{stratum}: {found} instead of {share}");
            }
        }
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one_and_the_same_machine_stays_where_it_is() {
        let (fleet, deployment) = (fleet(1000), DeploymentId([7; 16]));
        let small = members(&assign_rings(deployment, &sizes("10%,all"), &fleet), 0);
        let large = members(&assign_rings(deployment, &sizes("30%,all"), &fleet), 0);
        assert!(small.iter().all(|machine| large.contains(machine)));
        let mut turned = fleet.clone();
        turned.reverse();
        let sizes = sizes("10%,all");
        assert_eq!(assign_rings(deployment, &sizes, &fleet), assign_rings(deployment, &sizes, &turned));
    }

    #[test]
    fn other_machines_come_first_in_another_deployment() {
        let fleet = fleet(10_000);
        let first = |id| members(&assign_rings(DeploymentId([id; 16]), &sizes("10%,all"), &fleet), 0);
        let (one, other) = (first(1), first(2));
        let both = one.iter().filter(|machine| other.contains(machine)).count();
        assert!((50..=150).contains(&both), "{both} of 1000 are first in both; 100 are expected");
    }

    #[test]
    fn small_fleets_have_a_first_machine_and_may_have_empty_rings() {
        for (count, expected) in [(1, vec![1, 0, 0]), (2, vec![1, 0, 1]), (7, vec![1, 1, 5]), (31, vec![1, 7, 23])] {
            let rings = assign_rings(DeploymentId([3; 16]), &sizes("1,25%,all"), &fleet(count));
            let in_ring = |wanted: u32| rings.values().filter(|ring| **ring == wanted).count();
            assert_eq!((0..3).map(in_ring).collect::<Vec<_>>(), expected, "{count} machines");
        }
        assert!(assign_rings(DeploymentId([3; 16]), &sizes("all"), &[]).is_empty());
    }
}
