//! Writes the Poseidon libraries into the folder that it is given.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some((folder, files)) =
        std::env::args_os().nth(1).map(PathBuf::from).zip(contracts::poseidon::solidity_files())
    else {
        return ExitCode::FAILURE;
    };
    match files.into_iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
