//! Tests of [`super`]: the published vectors, an implementation written straight from the RFC's recursion, and faults.

use super::*;

/// Leaves and roots of the Certificate Transparency test tree (`google/certificate-transparency`, `merkletree` tests).
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves(count: u64) -> Vec<[u8; 32]> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn tree(leaves: &[[u8; 32]]) -> LogTree {
    let mut tree = LogTree::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree
}

/// RFC 9162 §2.1.1, as written there.
fn mth(leaves: &[[u8; 32]]) -> Bytes32 {
    match leaves {
        [] => empty_root(),
        [leaf] => Bytes32(*leaf),
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

/// RFC 9162 §2.1.3.1, as written there.
fn path(m: usize, leaves: &[[u8; 32]]) -> Vec<Bytes32> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut out, last) =
        if m < k { (path(m, &leaves[..k]), mth(&leaves[k..])) } else { (path(m - k, &leaves[k..]), mth(&leaves[..k])) };
    out.push(last);
    out
}

/// RFC 9162 §2.1.4.1, as written there.
fn subproof(m: usize, leaves: &[[u8; 32]], b: bool) -> Vec<Bytes32> {
    if m == leaves.len() {
        return if b { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut out, last) = if m <= k {
        (subproof(m, &leaves[..k], b), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    out.push(last);
    out
}

#[test]
fn certificate_transparency_roots() {
    let mut frontier = LogFrontier::new();
    assert_eq!(frontier.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (leaf, root) in CT_LEAVES.iter().zip(CT_ROOTS) {
        frontier.append(leaf_hash(&hex::decode(leaf).unwrap()));
        assert_eq!(frontier.root().to_string(), root);
    }
}

#[test]
fn proofs_are_the_rfcs_and_verify_for_every_pair_to_40() {
    let all = leaves(40);
    let tree = tree(&all);
    let node = |level, index| tree.node(level, index).ok_or(());
    for size in 0..=40u64 {
        let some = &all[..usize::try_from(size).unwrap()];
        let root = mth(some);
        for index in 0..size {
            let at = usize::try_from(index).unwrap();
            let proof = inclusion_proof(index, size, node).unwrap();
            assert_eq!(proof, path(at, some));
            assert_eq!(verify_inclusion(some[at], index, size, &proof, &root), Ok(()));
        }
        for old in 0..=size {
            let old_leaves = usize::try_from(old).unwrap();
            let proof = consistency_proof(old, size, node).unwrap();
            if old > 0 {
                assert_eq!(proof, subproof(old_leaves, some, true));
            }
            assert_eq!(verify_consistency(old, size, &proof, &mth(&some[..old_leaves]), &root), Ok(()));
        }
    }
}

#[test]
fn false_inclusion_is_refused() {
    let all = leaves(13);
    let tree = tree(&all);
    let root = tree.root();
    for index in 0..13u64 {
        let leaf = all[usize::try_from(index).unwrap()];
        let proof = inclusion_proof(index, 13, |level, index| tree.node(level, index).ok_or(())).unwrap();
        for other in (0..13).filter(|other| *other != index) {
            assert_eq!(verify_inclusion(leaf, other, 13, &proof, &root), Err(BadProof), "{index} as {other}");
        }
        assert_eq!(verify_inclusion(leaf, index, 13, &proof[1..], &root), Err(BadProof));
        assert_eq!(verify_inclusion(leaf, index, 13, &[&proof[..], &[root]].concat(), &root), Err(BadProof));
        assert_eq!(verify_inclusion(leaf, 13, 13, &proof, &root), Err(BadProof));
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at].0[0] ^= 1;
            assert_eq!(verify_inclusion(leaf, index, 13, &bad, &root), Err(BadProof));
        }
    }
}

#[test]
fn false_consistency_is_refused() {
    let all = leaves(21);
    let tree = tree(&all);
    let new_root = tree.root();
    for old in 1..21u64 {
        let old_root = mth(&all[..usize::try_from(old).unwrap()]);
        let proof = consistency_proof(old, 21, |level, index| tree.node(level, index).ok_or(())).unwrap();
        let verdict =
            |old, new, proof: &[Bytes32], old_root, new_root| verify_consistency(old, new, proof, old_root, new_root);
        assert_eq!(verdict(old, 21, &proof, &new_root, &new_root), Err(BadProof), "other old root");
        assert_eq!(verdict(old, 21, &proof, &old_root, &old_root), Err(BadProof), "other new root");
        assert_eq!(verdict(old, 21, &proof[1..], &old_root, &new_root), Err(BadProof), "short");
        assert_eq!(verdict(old, 21, &[], &old_root, &new_root), Err(BadProof), "empty");
        assert_eq!(verdict(old, 21, &[&proof[..], &[new_root]].concat(), &old_root, &new_root), Err(BadProof), "long");
        assert_eq!(verdict(21, old, &proof, &new_root, &old_root), Err(BadProof), "shrinking");
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at].0[31] ^= 1;
            assert_eq!(verdict(old, 21, &bad, &old_root, &new_root), Err(BadProof), "node {at}");
        }
    }
    assert_eq!(verify_consistency(0, 21, &[], &empty_root(), &new_root), Ok(()));
    assert_eq!(verify_consistency(0, 21, &[], &new_root, &new_root), Err(BadProof));
    assert_eq!(verify_consistency(21, 21, &[], &empty_root(), &new_root), Err(BadProof));
}

#[test]
fn proofs_outside_the_tree_are_not_made() {
    let none = |_, _| Err::<Bytes32, ()>(());
    assert_eq!(inclusion_proof(3, 3, none), Err(ProofError::OutOfRange { position: 3, size: 3 }));
    assert_eq!(consistency_proof(4, 3, none), Err(ProofError::OutOfRange { position: 4, size: 3 }));
    assert_eq!(inclusion_proof(0, 2, none), Err(ProofError::Node(())));
}

#[test]
fn a_frontier_survives_storage_and_refuses_nonsense() {
    let mut frontier = LogFrontier::new();
    leaves(11).into_iter().for_each(|leaf| frontier.append(leaf));
    let json = serde_json::to_string(&frontier).unwrap();
    assert_eq!(serde_json::from_str::<LogFrontier>(&json).unwrap(), frontier);
    let error = serde_json::from_str::<LogFrontier>(&json.replace("\"size\":11", "\"size\":12")).unwrap_err();
    assert!(error.to_string().contains("complete subtrees"), "{error}");
}
