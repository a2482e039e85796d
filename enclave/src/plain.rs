//! A plain answer: all of it is read from the engine before the first byte goes out.
//!
//! On entry as `stream.rs`, and on exit too. An answer that is not what was asked for costs nothing.

use axum::body::Body;
use bytes::Bytes;

use crate::calls;
use crate::chunk::{EngineChunk, Kept};
use crate::embeddings::Vectors;
use crate::endpoint::Endpoint;
use crate::engine_body::EngineBody;
use crate::inference::{self, EngineError, Usage};
use crate::limits::EMBEDDINGS_BYTES_MAX;
use crate::output::Output;
use crate::problem::Problem;
use crate::receipt::{Metered, Outcome};
use crate::recount::Recount;
use crate::request::invalid;
use crate::stream::Call;

impl Call {
    /// Serves a plain answer.
    ///
    /// # Errors
    /// When there is none; nothing is charged.
    pub async fn plain(self, engine_body: EngineBody) -> Result<Body, Problem> {
        let said = calls::unless_cut(&self.guardian, self.hold.tab(), inference::read_plain(engine_body)).await?;
        let said = said.map_err(Problem::from)?;
        let (body, metered) = match self.request.endpoint {
            Endpoint::Embeddings => self.vectors(&said)?,
            Endpoint::Chat | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages => self.text(&said)?,
        };
        let (mut output, channel) = Output::new(self.shaping());
        // What a client pays that leaves before it took any of it.
        let nothing = self.meter(Usage::default(), &Recount::default());
        tokio::spawn(async move {
            output.document(body).await;
            let outcome = self.settle_outcome(&mut output).await;
            let metered = if outcome.0 == Outcome::Complete { metered } else { nothing };
            self.end(output, outcome, metered, false).await;
        });
        Ok(Body::new(channel))
    }

    fn text(&self, said: &Bytes) -> Result<(Vec<u8>, Metered), EngineError> {
        let answer = EngineChunk::parse(said).map_err(|_| EngineError::Malformed)?;
        let usage = answer.usage().filter(|_| !answer.choices().is_empty()).ok_or(EngineError::Malformed)?;
        let endpoint = self.request.endpoint;
        let mut recount = Recount::default();
        let kept = Kept { choices: answer.choices(), members: endpoint.choice_members() };
        let mut telling = self.telling();
        let told = match &mut telling {
            Some(telling) => telling.tell(kept.choices, &mut Vec::new()).ok(),
            None => kept.text_bytes().ok(),
        };
        recount.relayed(told.ok_or(EngineError::Malformed)?);
        let metered = self.meter(usage, &recount);
        let mut body = Vec::new();
        match telling {
            Some(telling) => body = telling.whole(&metered).into_bytes(),
            None => self.say(endpoint.object(), kept, Some(Some(&metered)), &mut body).ok_or(EngineError::Malformed)?,
        }
        Ok((body, metered))
    }

    fn vectors(&self, said: &Bytes) -> Result<(Vec<u8>, Metered), Problem> {
        let asked = &self.request.forward;
        let vectors = Vectors::parse(said, asked)?;
        let usage = Usage { prompt_tokens: vectors.prompt_tokens, completion_tokens: 0 };
        let metered = self.meter(usage, &Recount::default());
        let body = vectors.answer(asked, &self.facts.model, metered.prompt_tokens).ok_or(EngineError::Malformed)?;
        if body.len() > EMBEDDINGS_BYTES_MAX {
            let text =
                format!("the answer would have over {EMBEDDINGS_BYTES_MAX} bytes: send fewer texts, or ask for base64");
            return Err(invalid("input", text));
        }
        Ok((body, metered))
    }
}
