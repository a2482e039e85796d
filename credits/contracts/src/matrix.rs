//! Square matrices over the scalar field, as far as a rearranged permutation needs them.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

/// A row or a column.
pub type Vector = Vec<Fr>;

/// A square matrix, as its rows. Every function takes matrices and vectors of one size; what is missing counts as zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix(pub Vec<Vector>);

/// `Σ left[i]·right[i]`.
#[must_use]
pub fn dot(left: &[Fr], right: &[Fr]) -> Fr {
    left.iter().zip(right).map(|(left, right)| *left * right).sum()
}

impl Matrix {
    /// The identity of a size.
    #[must_use]
    pub fn identity(size: usize) -> Self {
        let row = |number| (0..size).map(|column| if column == number { Fr::ONE } else { Fr::ZERO }).collect();
        Self((0..size).map(row).collect())
    }

    /// The number of rows.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// A column by number.
    #[must_use]
    pub fn column(&self, number: usize) -> Vector {
        self.0.iter().map(|row| row.get(number).copied().unwrap_or_default()).collect()
    }

    /// `self · vector`.
    #[must_use]
    pub fn apply(&self, vector: &[Fr]) -> Vector {
        self.0.iter().map(|row| dot(row, vector)).collect()
    }

    /// `vector · self`.
    #[must_use]
    pub fn apply_left(&self, vector: &[Fr]) -> Vector {
        (0..self.size()).map(|number| dot(vector, &self.column(number))).collect()
    }

    /// `self · other`.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self(self.0.iter().map(|row| other.apply_left(row)).collect())
    }

    /// The sum of the diagonal.
    #[must_use]
    pub fn trace(&self) -> Fr {
        self.0.iter().enumerate().map(|(number, row)| row.get(number).copied().unwrap_or_default()).sum()
    }

    /// The matrix without its first row and column.
    #[must_use]
    pub fn minor(&self) -> Self {
        Self(self.0.iter().skip(1).map(|row| row.iter().skip(1).copied().collect()).collect())
    }

    /// One, then this matrix, on the diagonal.
    #[must_use]
    pub fn under_one(&self) -> Self {
        let first = Matrix::identity(self.size().saturating_add(1)).0.into_iter().take(1);
        let rest = self.0.iter().map(|row| std::iter::once(Fr::ZERO).chain(row.iter().copied()).collect());
        Self(first.chain(rest).collect())
    }

    /// `a_1 … a_n` of the characteristic polynomial `λ^n + a_1 λ^(n−1) + … + a_n` (Faddeev and LeVerrier).
    #[must_use]
    pub fn characteristic(&self) -> Vector {
        let mut coefficients = Vector::new();
        let mut power = Self::identity(self.size());
        let mut step = Fr::ZERO;
        for _ in 0..self.size() {
            step += Fr::ONE;
            power = self.times(&power);
            let inverse = step.inverse().expect("invariant: a matrix here is far smaller than the field");
            let coefficient = -power.trace() * inverse;
            for (number, row) in power.0.iter_mut().enumerate() {
                row.iter_mut().skip(number).take(1).for_each(|cell| *cell += coefficient);
            }
            coefficients.push(coefficient);
        }
        coefficients
    }

    /// The inverse, where there is one (Gauss and Jordan).
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let size = self.size();
        let unit = Self::identity(size);
        let mut rows: Vec<Vector> = self.0.iter().zip(unit.0).map(|(row, unit)| [row.clone(), unit].concat()).collect();
        for column in 0..size {
            let lead = |row: &Vector| row.get(column).copied().unwrap_or_default();
            let pivot = (column..size).find(|row| rows.get(*row).is_some_and(|row| lead(row) != Fr::ZERO))?;
            rows.swap(column, pivot);
            let scale = lead(rows.get(column)?).inverse()?;
            let pivot: Vector = rows.get(column)?.iter().map(|cell| *cell * scale).collect();
            for (number, row) in rows.iter_mut().enumerate() {
                if number == column {
                    row.clone_from(&pivot);
                } else {
                    let factor = lead(row);
                    row.iter_mut().zip(&pivot).for_each(|(cell, above)| *cell -= factor * above);
                }
            }
        }
        Some(Self(rows.into_iter().map(|row| row.into_iter().skip(size).collect()).collect()))
    }
}
