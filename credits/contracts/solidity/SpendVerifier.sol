// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Groth16 proofs of the spend statement over BN254, by the curve precompiles of EIP-196 and EIP-197. `docs/protocol.md` §3.2, §3.4.
///
/// G2 coordinates come imaginary part first, as the precompile wants them. The key is judged when the contract is made, by the rules of
/// `credits::params`, and cannot change. Its digest is computed from its points, so that it is the one that wallets pin.
contract SpendVerifier {
    uint256 public constant PUBLIC_INPUTS = 5;
    /// Words of a verifying key: α, β, γ, δ, and a point for the constant and each input, 2 + 3·4 + 2·6.
    uint256 private constant KEY_WORDS = 26;
    /// The scalar field.
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    /// The base field.
    uint256 private constant P = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;
    bytes20 private constant KEY_MAGIC = "cloister/spend-vk/v1";
    /// The generators of EIP-197.
    uint256 private constant G1_X = 1;
    uint256 private constant G1_Y = 2;
    uint256 private constant G2_X1 = 0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2;
    uint256 private constant G2_X0 = 0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed;

    /// SHA-256 of the key as the `credits` crate encodes it.
    bytes32 public immutable keyDigest;
    /// The contract whose code is the key's words: read at once, and dearer to read word by word.
    address private immutable key;

    error KeyPoint();
    error KeyIdentity();
    error KeyCoincident();
    error KeyGenerator();

    constructor(uint256[KEY_WORDS] memory words) {
        _judge(words);
        keyDigest = _digest(words);
        key = address(new KeyData(abi.encodePacked(words)));
    }

    /// Whether a number is an element of the scalar field in its one spelling.
    function isScalar(uint256 number) external pure returns (bool) {
        return number < R;
    }

    /// Whether the proof `(A, B, C)` proves the statement for these inputs. Never reverts, whatever it is given.
    function verify(uint256[PUBLIC_INPUTS] calldata inputs, uint256[8] calldata proof) external view returns (bool) {
        for (uint256 i = 0; i < PUBLIC_INPUTS; ++i) {
            if (inputs[i] >= R) return false;
        }
        for (uint256 i = 0; i < 8; ++i) {
            if (proof[i] >= P) return false;
        }
        // No honest proof has an identity, which the precompiles take.
        if (proof[0] | proof[1] == 0 || proof[2] | proof[3] | proof[4] | proof[5] == 0 || proof[6] | proof[7] == 0) return false;

        uint256[KEY_WORDS] memory words;
        address from = key;
        assembly ("memory-safe") {
            // The first byte of the code stops whoever calls it.
            extcodecopy(from, words, 1, mul(KEY_WORDS, 32))
        }
        uint256[2] memory sum = [words[14], words[15]];
        for (uint256 i = 0; i < PUBLIC_INPUTS; ++i) {
            (bool multiplied, uint256[2] memory product) = _mul(words[16 + 2 * i], words[17 + 2 * i], inputs[i]);
            if (!multiplied) return false;
            bool added;
            (added, sum) = _add(sum, product);
            if (!added) return false;
        }
        // e(−A, B)·e(α, β)·e(Σ, γ)·e(C, δ) = 1. A is not the identity, and no point of the curve has y = 0.
        uint256[24] memory pairs;
        (pairs[0], pairs[1]) = (proof[0], P - proof[1]);
        for (uint256 i = 0; i < 4; ++i) {
            pairs[2 + i] = proof[2 + i];
            pairs[8 + i] = words[2 + i];
            pairs[14 + i] = words[6 + i];
            pairs[20 + i] = words[10 + i];
        }
        (pairs[6], pairs[7]) = (words[0], words[1]);
        (pairs[12], pairs[13]) = (sum[0], sum[1]);
        (pairs[18], pairs[19]) = (proof[6], proof[7]);
        return _pairing(pairs);
    }

    function _add(uint256[2] memory left, uint256[2] memory right) private view returns (bool done, uint256[2] memory sum) {
        uint256[4] memory input = [left[0], left[1], right[0], right[1]];
        assembly ("memory-safe") {
            done := staticcall(div(gas(), 2), 6, input, 128, sum, 64)
        }
    }

    function _mul(uint256 x, uint256 y, uint256 scalar) private view returns (bool done, uint256[2] memory product) {
        uint256[3] memory input = [x, y, scalar];
        assembly ("memory-safe") {
            done := staticcall(div(gas(), 2), 7, input, 96, product, 64)
        }
    }

    /// A precompile that refuses its input keeps all gas it was given, so it is given half: the caller can go on, and no price is written down
    /// here that a fork of the chain could raise, which would lock every note up.
    function _pairing(uint256[24] memory pairs) private view returns (bool) {
        bool done;
        uint256[1] memory one;
        assembly ("memory-safe") {
            done := staticcall(div(gas(), 2), 8, pairs, 768, one, 32)
        }
        return done && one[0] == 1;
    }

    /// The boot checks of `credits::params`: group elements, none the identity, no two of β, γ and δ equal up to sign, none of α, β and δ a generator.
    function _judge(uint256[KEY_WORDS] memory words) private view {
        for (uint256 i = 0; i < KEY_WORDS; ++i) {
            if (words[i] >= P) revert KeyPoint();
        }
        for (uint256 i = 0; i < KEY_WORDS; i = i == 0 ? 14 : i + 2) {
            if (words[i] | words[i + 1] == 0) revert KeyIdentity();
            (bool onCurve,) = _add([words[i], words[i + 1]], [uint256(0), 0]);
            if (!onCurve) revert KeyPoint();
        }
        for (uint256 i = 2; i < 14; i += 4) {
            if (words[i] | words[i + 1] | words[i + 2] | words[i + 3] == 0) revert KeyIdentity();
            // e(G, X)·e(−G, X) = 1 holds for every X of the group, and others are refused.
            uint256[24] memory pairs;
            for (uint256 j = 0; j < 4; ++j) {
                pairs[2 + j] = words[i + j];
                pairs[8 + j] = words[i + j];
            }
            (pairs[0], pairs[1], pairs[6], pairs[7]) = (G1_X, G1_Y, G1_X, P - G1_Y);
            if (!_pairing(pairs)) revert KeyPoint();
            for (uint256 j = 2; j < i; j += 4) {
                // Points with one x differ by sign at most.
                if (words[i] == words[j] && words[i + 1] == words[j + 1]) revert KeyCoincident();
            }
        }
        bool alpha = words[0] == G1_X && words[1] == G1_Y;
        if (alpha || _isG2Generator(words, 2) || _isG2Generator(words, 10)) revert KeyGenerator();
    }

    /// Whether a point has the generator's x. The generator with the other sign is refused too; no setup that anyone contributed to has either.
    function _isG2Generator(uint256[KEY_WORDS] memory words, uint256 first) private pure returns (bool) {
        return words[first] == G2_X1 && words[first + 1] == G2_X0;
    }

    /// SHA-256 of the magic and the compressed points: x little endian, real part first, and the top bit of the last byte says that y is the larger root.
    function _digest(uint256[KEY_WORDS] memory words) private pure returns (bytes32) {
        bytes memory encoded = abi.encodePacked(KEY_MAGIC, _compressed(words[0], words[1]));
        for (uint256 i = 2; i < 14; i += 4) {
            uint256 sign = words[i + 2] == 0 ? words[i + 3] : words[i + 2];
            encoded = abi.encodePacked(encoded, _reversed(words[i + 1]), _compressed(words[i], sign));
        }
        for (uint256 i = 14; i < KEY_WORDS; i += 2) {
            encoded = abi.encodePacked(encoded, _compressed(words[i], words[i + 1]));
        }
        return sha256(encoded);
    }

    function _compressed(uint256 x, uint256 sign) private pure returns (uint256) {
        return _reversed(x) | (sign > P / 2 ? 0x80 : 0);
    }

    function _reversed(uint256 word) private pure returns (uint256 reversed) {
        for (uint256 i = 0; i < 32; ++i) {
            reversed = (reversed << 8) | (word & 0xff);
            word >>= 8;
        }
    }
}

/// A contract that does nothing; its code is a zero byte, which stops, and the data.
contract KeyData {
    constructor(bytes memory data) {
        bytes memory code = abi.encodePacked(bytes1(0), data);
        assembly {
            return(add(code, 32), mload(code))
        }
    }
}
