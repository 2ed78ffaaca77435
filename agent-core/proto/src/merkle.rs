//! The Merkle tree of RFC 9162 (Certificate Transparency, section 2): over a list of records that only grows, with
//! proofs that a longer list begins with a shorter one.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most hashes of a consistency proof: enough for 2^63 records.
const MAX_PROOF: usize = 128;

/// A node of the tree: a SHA-256 hash. Its text form is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TreeHash(pub [u8; 32]);

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}
impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..4]))
    }
}
impl From<TreeHash> for String {
    fn from(hash: TreeHash) -> Self {
        hash.to_string()
    }
}
impl TryFrom<String> for TreeHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("a hash of the tree has 64 hexadecimal digits")
    }
}

fn hash(parts: &[&[u8]]) -> TreeHash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    TreeHash(bytes)
}

/// Returns the hash of a record.
#[must_use]
pub fn leaf(record: &[u8]) -> TreeHash {
    hash(&[&[0], record])
}

fn node(left: TreeHash, right: TreeHash) -> TreeHash {
    hash(&[&[1], &left.0, &right.0])
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: usize) -> usize {
    1 << (n - 1).ilog2()
}

/// Returns the root over these records' hashes.
#[must_use]
pub fn root(leaves: &[TreeHash]) -> TreeHash {
    let mut tree = GrowingTree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// A tree that grows: the roots of its complete subtrees, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrowingTree {
    size: u64,
    complete: Vec<TreeHash>,
}

impl GrowingTree {
    /// Appends a record's hash.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut joined = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.complete.pop() {
                joined = node(left, joined);
            }
        }
        self.complete.push(joined);
        self.size += 1;
    }
    /// Returns the number of records.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Returns the root.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let joined = self.complete.iter().rev().copied().reduce(|right, left| node(left, right));
        joined.unwrap_or_else(|| hash(&[]))
    }
}

/// Returns the proof that the list of all `leaves` begins with its first `size` ones (RFC 9162, 2.1.4.1). It is empty for
/// sizes of which nothing needs proof: 0, all, and more than all.
#[must_use]
pub fn prove_consistency(leaves: &[TreeHash], size: usize) -> Vec<TreeHash> {
    fn sub_proof(leaves: &[TreeHash], size: usize, is_whole: bool, proof: &mut Vec<TreeHash>) {
        if size == leaves.len() {
            if !is_whole {
                proof.push(root(leaves));
            }
            return;
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        if size <= left.len() {
            sub_proof(left, size, is_whole, proof);
            proof.push(root(right));
        } else {
            sub_proof(right, size - left.len(), false, proof);
            proof.push(root(left));
        }
    }
    let mut proof = Vec::new();
    if size > 0 && size < leaves.len() {
        sub_proof(leaves, size, true, &mut proof);
    }
    proof
}

/// Returns whether a list with the root `new` begins with the list with the root `old` (RFC 9162, 2.1.4.2).
#[must_use]
pub fn is_consistent(old_size: u64, old: TreeHash, new_size: u64, new: TreeHash, proof: &[TreeHash]) -> bool {
    if old_size == 0 {
        return proof.is_empty() && old == hash(&[]);
    }
    if old_size == new_size {
        return proof.is_empty() && old == new;
    }
    if old_size > new_size || proof.is_empty() || proof.len() > MAX_PROOF {
        return false;
    }
    let is_power = old_size.is_power_of_two();
    let mut path = is_power.then_some(old).into_iter().chain(proof.iter().copied());
    let Some(first) = path.next() else { return false };
    let (mut of_old, mut of_new) = (old_size - 1, new_size - 1);
    while of_old & 1 == 1 {
        (of_old, of_new) = (of_old >> 1, of_new >> 1);
    }
    let (mut old_root, mut new_root) = (first, first);
    for hash in path {
        if of_new == 0 {
            return false;
        }
        if of_old & 1 == 1 || of_old == of_new {
            (old_root, new_root) = (node(hash, old_root), node(hash, new_root));
            while of_old & 1 == 0 && of_old != 0 {
                (of_old, of_new) = (of_old >> 1, of_new >> 1);
            }
        } else {
            new_root = node(new_root, hash);
        }
        (of_old, of_new) = (of_old >> 1, of_new >> 1);
    }
    old_root == old && new_root == new && of_new == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records and roots that implementations of Certificate Transparency test each other with.
    const RECORDS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves() -> Vec<TreeHash> {
        RECORDS.iter().map(|record| leaf(&HEXLOWER.decode(record.as_bytes()).unwrap())).collect()
    }
    /// The definition of RFC 9162, 2.1.1.
    fn defined(leaves: &[TreeHash]) -> TreeHash {
        match leaves {
            [] => hash(&[]),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node(defined(left), defined(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = leaves();
        assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (size, wanted) in (1..).zip(ROOTS) {
            assert_eq!(root(&leaves[..size]).to_string(), wanted, "{size}");
        }
    }

    #[test]
    fn a_list_is_proved_to_begin_with_any_shorter_one_and_with_no_other() {
        let leaves: Vec<TreeHash> = (0_u8..67).map(|number| leaf(&[number])).collect();
        let mut growing = GrowingTree::default();
        for new in 0..=leaves.len() {
            assert_eq!((growing.root(), growing.size()), (defined(&leaves[..new]), new as u64));
            for old in 0..=new {
                let (before, now) = (root(&leaves[..old]), root(&leaves[..new]));
                let (old, new) = (old as u64, new as u64);
                let proof = prove_consistency(&leaves[..new as usize], old as usize);
                assert!(is_consistent(old, before, new, now, &proof), "{old} {new}");
                assert!(!is_consistent(old, leaf(b"other"), new, now, &proof), "{old} {new}");
                assert!(old == 0 || !is_consistent(old, before, new, leaf(b"other"), &proof), "{old} {new}");
                for at in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[at] = leaf(b"other");
                    assert!(!is_consistent(old, before, new, now, &wrong), "{old} {new} {at}");
                    wrong.remove(at);
                    assert!(!is_consistent(old, before, new, now, &wrong), "{old} {new} without {at}");
                }
            }
            if let Some(next) = leaves.get(new) {
                growing.push(*next);
            }
        }
    }

    #[test]
    fn the_proofs_are_those_of_certificate_transparency() {
        let leaves = leaves();
        let proof = |old, new: usize| {
            prove_consistency(&leaves[..new], old).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(proof(1, 1).is_empty());
        assert_eq!(
            proof(1, 8),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
            ]
        );
        assert_eq!(
            proof(6, 8),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
            ]
        );
        assert_eq!(
            proof(2, 5),
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
            ]
        );
    }
}
