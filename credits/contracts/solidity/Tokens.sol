// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What is used of ERC-20.
interface IERC20 {
    function balanceOf(address account) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// Transfers that are exact or undone: tokens that answer false, answer nothing, or move another amount than they were told.
library Tokens {
    error TransferRefused();
    error TransferInexact();

    /// Takes tokens that an account has allowed this contract to take.
    function take(IERC20 token, address from, uint256 amount) internal {
        uint256 before = token.balanceOf(address(this));
        _call(token, abi.encodeCall(IERC20.transferFrom, (from, address(this), amount)));
        if (token.balanceOf(address(this)) != before + amount) revert TransferInexact();
    }

    function give(IERC20 token, address to, uint256 amount) internal {
        uint256 before = token.balanceOf(address(this));
        _call(token, abi.encodeCall(IERC20.transfer, (to, amount)));
        // A payment to this contract itself would leave the balance as it is, and the tokens to nobody.
        if (token.balanceOf(address(this)) + amount != before) revert TransferInexact();
    }

    /// Tokens older than the standard answer nothing.
    function _call(IERC20 token, bytes memory data) private {
        (bool done, bytes memory answer) = address(token).call(data);
        bool refused = answer.length != 0 && (answer.length != 32 || uint256(bytes32(answer)) != 1);
        if (!done || refused) revert TransferRefused();
    }
}
