// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {PoseidonT4} from "../PoseidonT4.sol";
import {PoseidonT5} from "../PoseidonT5.sol";
import {PoseidonT6} from "../PoseidonT6.sol";

/// For tests: a hash of three elements alone.
contract HashOfThree {
    function hash(uint256 a, uint256 b, uint256 c) external pure returns (uint256) {
        return PoseidonT4.hash(PoseidonT4.load(), a, b, c);
    }
}

/// For tests: a hash of four elements alone.
contract HashOfFour {
    function hash(uint256 a, uint256 b, uint256 c, uint256 d) external pure returns (uint256) {
        return PoseidonT5.hash(PoseidonT5.load(), a, b, c, d);
    }
}

/// For tests: a hash of five elements alone.
contract HashOfFive {
    function hash(uint256 a, uint256 b, uint256 c, uint256 d, uint256 e) external pure returns (uint256) {
        return PoseidonT6.hash(PoseidonT6.load(), a, b, c, d, e);
    }
}
