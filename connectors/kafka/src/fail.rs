//! What a failed call to Kafka means for the caller.
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Outcome of a call that did not succeed.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It may have happened or not: a timeout, a broken connection, a broker that is away. Worth another try with a
    /// new client.
    Unknown(String),
    /// The brokers know a newer writer of this transactional id, or have ended the transaction for its age.
    Fenced(String),
    /// Trying again will not help: a missing right, a wrong setting, a deleted topic.
    Lasting(String),
}

impl Fail {
    /// Judge an error of the client library.
    pub(crate) fn of(e: &KafkaError, fatal: Option<(Code, String)>) -> Fail {
        let (code, text) = match (e.rdkafka_error_code(), fatal) {
            (_, Some((code, why))) => (code, why),
            (Some(code), None) => (code, e.to_string()),
            (None, None) => return Fail::Lasting(e.to_string()),
        };
        Fail::of_code(code, text)
    }

    /// Judge an error code.
    pub(crate) fn of_code(code: Code, text: String) -> Fail {
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Fail::Fenced(text),
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::InvalidTransactionTimeout
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidArgument
            | Code::InvalidTopic
            | Code::UnknownTopic
            | Code::NotImplemented => Fail::Lasting(text),
            // Among them a partition that is not known yet: brokers hear of a new topic one after the other.
            _ => Fail::Unknown(text),
        }
    }

    /// The text, whatever it means.
    pub(crate) fn why(&self) -> &str {
        match self {
            Fail::Unknown(w) | Fail::Fenced(w) | Fail::Lasting(w) => w,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_unknown_a_missing_right_is_lasting() {
        let of = |c| Fail::of(&KafkaError::MessageProduction(c), None);
        assert!(matches!(of(Code::OperationTimedOut), Fail::Unknown(_)));
        assert!(matches!(of(Code::BrokerTransportFailure), Fail::Unknown(_)));
        assert!(matches!(of(Code::TopicAuthorizationFailed), Fail::Lasting(_)));
        assert!(matches!(of(Code::InvalidProducerEpoch), Fail::Fenced(_)));
        // The cause of a fatal error counts, not the word "fatal".
        let f = Fail::of(&KafkaError::Global(Code::Fatal), Some((Code::Fenced, "fenced".into())));
        assert!(matches!(&f, Fail::Fenced(_)) && f.why() == "fenced");
    }
}
