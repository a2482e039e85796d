//! What the simulated platform measures.

use aws_lc_rs::digest::{Context, SHA384, digest};

/// The simulated launch digest of a list of files: SHA-384 over a tag and the SHA-384 of each file, in order. Real launch
/// digests cover firmware, kernel and command line; this one covers what runs in their place.
#[must_use]
pub fn launch_digest_of(files: &[Vec<u8>]) -> [u8; 48] {
    let mut whole = Context::new(&SHA384);
    whole.update(b"cloister/simulated-launch/v1");
    for file in files {
        whole.update(digest(&SHA384, file).as_ref());
    }
    whole.finish().as_ref().try_into().expect("invariant: a SHA-384 digest has 48 bytes")
}

#[cfg(test)]
mod tests {
    use super::launch_digest_of;

    #[test]
    fn every_file_and_its_place_count() {
        let [a, b] = [b"a".to_vec(), b"b".to_vec()];
        let digests = [
            launch_digest_of(&[]),
            launch_digest_of(std::slice::from_ref(&a)),
            launch_digest_of(&[a.clone(), b.clone()]),
            launch_digest_of(&[b, a]),
            launch_digest_of(&[b"ab".to_vec()]),
        ];
        for (at, digest) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|other| other == digest), Some(at));
        }
    }
}
