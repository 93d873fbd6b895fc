//! Hostile texts for everything that reads literals: answers, inputs, stated outputs.
