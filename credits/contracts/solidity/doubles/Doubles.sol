// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// For tests: a token that anyone mints, and that misbehaves when it is told to.
contract TestToken {
    enum Fault {
        None,
        /// Moves nothing and answers false.
        AnswersFalse,
        /// Moves all and answers nothing, as some old tokens do.
        AnswersNothing,
        /// Keeps one unit of each transfer.
        TakesAFee,
        /// Moves nothing and answers true.
        Lies,
        /// Calls back into the contract that it pays or takes for.
        Reenters,
        /// Refuses to move nothing, as some tokens do.
        RefusesNothing,
        /// Moves all and answers two, which is no boolean.
        AnswersTwo
    }

    Fault public fault;
    bytes public reentry;
    bytes public reentryAnswer;
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function misbehave(Fault fault_) external {
        fault = fault_;
    }

    /// What to call back with: a method without arguments, or with one word.
    function reenterWith(bytes4 method, uint256 argument) external {
        reentry = abi.encodePacked(method, argument);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    /// Everybody has allowed everything.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (fault == Fault.AnswersFalse) return false;
        if (fault == Fault.Lies) return true;
        if (fault == Fault.RefusesNothing) require(amount != 0, "nothing to move");
        if (fault == Fault.Reenters) {
            (bool done, bytes memory answer) = msg.sender.call(reentry);
            require(!done, "the call back was let in");
            reentryAnswer = answer;
        }
        balanceOf[from] -= amount;
        balanceOf[to] += fault == Fault.TakesAFee ? amount - 1 : amount;
        if (fault == Fault.AnswersTwo) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        if (fault == Fault.AnswersNothing) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}

/// For tests: takes every proof, so that schedules need none.
contract CredulousVerifier {
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    bytes32 public immutable keyDigest;

    constructor(bytes32 keyDigest_) {
        keyDigest = keyDigest_;
    }

    function isScalar(uint256 number) external pure returns (bool) {
        return number < R;
    }

    function verify(uint256[5] calldata inputs, uint256[8] calldata) external pure returns (bool) {
        for (uint256 i = 0; i < 5; ++i) {
            if (inputs[i] >= R) return false;
        }
        return true;
    }
}

/// For tests: takes proofs that were marked as good, and each only of what it was marked for, as if it proved that. The mark is the first byte, 1; the
/// fifth word is the digest of the public inputs.
contract MarkedVerifier {
    uint256 private constant R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001;
    bytes32 public immutable keyDigest;

    constructor(bytes32 keyDigest_) {
        keyDigest = keyDigest_;
    }

    function isScalar(uint256 number) external pure returns (bool) {
        return number < R;
    }

    function verify(uint256[5] calldata inputs, uint256[8] calldata proof) external pure returns (bool) {
        return proof[0] >> 248 == 1 && bytes32(proof[4]) == keccak256(abi.encode(inputs));
    }
}
