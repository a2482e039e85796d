//! Names of a log's files (C2SP tlog-tiles): which tiles a tree of some size consists of, and which tile a path is.

/// Entries or hashes of one tile.
pub(crate) const TILE_WIDTH: u64 = 256;
/// Levels a tree of fewer than 2^64 leaves can have.
const LEVELS: u8 = 8;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Log entries.
    Entries,
    /// Hashes: leaves at level 0, roots of whole tiles of the level below at others.
    Hashes(u8),
}

/// A tile; partial when its width is less than [`TILE_WIDTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tile {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) width: u64,
}

impl Tile {
    /// The tiles of a tree of `size` leaves: entries, then hashes from the leaves up.
    pub(crate) fn of_size(size: u64) -> Vec<Self> {
        let kinds = std::iter::once((Kind::Entries, 0)).chain((0..LEVELS).map(|level| (Kind::Hashes(level), level)));
        let mut tiles = Vec::new();
        for (kind, level) in kinds {
            let count = size >> (8 * u32::from(level));
            let whole = count / TILE_WIDTH;
            tiles.extend((0..whole).map(|index| Self { kind, index, width: TILE_WIDTH }));
            let rest = count % TILE_WIDTH;
            if rest > 0 {
                tiles.push(Self { kind, index: whole, width: rest });
            }
        }
        tiles
    }

    fn level(self) -> u8 {
        match self.kind {
            Kind::Entries => 0,
            Kind::Hashes(level) => level,
        }
    }

    /// Position of the tile's first hash or entry within its level.
    pub(crate) fn first(self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH)
    }

    /// The smallest tree that has this tile.
    pub(crate) fn end(self) -> u64 {
        let leaves = TILE_WIDTH.saturating_pow(u32::from(self.level()));
        self.first().saturating_add(self.width).saturating_mul(leaves)
    }

    /// `tile/<L>/<N>[.p/<W>]`.
    pub(crate) fn path(self) -> String {
        let kind = match self.kind {
            Kind::Entries => "entries".to_owned(),
            Kind::Hashes(level) => level.to_string(),
        };
        let mut index = format!("{:03}", self.index % 1000);
        let mut above = self.index / 1000;
        while above > 0 {
            index = format!("x{:03}/{index}", above % 1000);
            above /= 1000;
        }
        let partial = if self.width < TILE_WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{kind}/{index}{partial}")
    }

    /// The tile of a path; only the one spelling [`Tile::path`] makes.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = if kind == "entries" { Kind::Entries } else { Kind::Hashes(kind.parse().ok()?) };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
            None => (rest, TILE_WIDTH),
        };
        let digits = index.split('/').map(|part| part.strip_prefix('x').unwrap_or(part));
        let index = digits.collect::<String>().parse().ok()?;
        let tile = Self { kind, index, width };
        (tile.level() < LEVELS && tile.path() == path).then_some(tile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own examples.
    #[test]
    fn tiles_are_those_of_the_specification() {
        let tile = |kind, index, width| Tile { kind, index, width };
        assert_eq!(tile(Kind::Hashes(0), 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(tile(Kind::Entries, 7, 5).path(), "tile/entries/007.p/5");
        let tiles = Tile::of_size(70_000);
        let at = |kind| tiles.iter().filter(|tile| tile.kind == kind).collect::<Vec<_>>();
        assert_eq!(at(Kind::Hashes(0)).len(), 274);
        assert_eq!(at(Kind::Hashes(0)).last().unwrap().width, 112);
        assert_eq!(at(Kind::Hashes(1)), [&tile(Kind::Hashes(1), 0, 256), &tile(Kind::Hashes(1), 1, 17)]);
        assert_eq!(at(Kind::Hashes(2)), [&tile(Kind::Hashes(2), 0, 1)]);
        assert!(at(Kind::Hashes(3)).is_empty());
        assert_eq!(Tile::of_size(256).len(), 3, "entries, a whole tile of leaves, and one hash above");
        assert!(Tile::of_size(0).is_empty());
        assert!(tiles.iter().all(|tile| tile.end() <= 70_000));
    }

    #[test]
    fn a_path_has_one_spelling() {
        for tile in Tile::of_size(70_000).into_iter().chain(Tile::of_size(300_000).into_iter().rev().take(9)) {
            assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
        let bad = "tile/0/00 tile/0/0000 tile/0/x000/001 tile/0/001.p/0 tile/0/001.p/256 tile/0/001.p/05 tile/8/000 tile/00/000 \
                   tile/entries/-01 tile/data/000 checkpoint tile/0/001.p tile/0/+01";
        for path in bad.split(' ') {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }
}
