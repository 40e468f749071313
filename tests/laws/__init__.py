"""The laws that every assigner obeys on every array library, as property tests."""
