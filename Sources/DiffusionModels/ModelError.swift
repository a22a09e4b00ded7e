public import Sentences
import TensorCore
import Weights

/// Why a network cannot be built or run.
public struct ModelError: SentenceError, Equatable {
    public enum Code: Sendable, Equatable {
        /// A configuration file has a wrong value, or needs a feature that Patchloom does not have.
        case configuration
        /// The weights do not fit the configuration.
        case weights
        /// A call had tensors or settings that the network does not take.
        case input
        /// The compute library refused.
        case compute
        /// Nobody wants the result any more.
        case stopped
        /// A result holds NaN or infinity.
        case nonFinite
    }

    public var code: Code
    /// Names the thing and the remedy.
    public var sentence: Sentence

    /// An error with a sentence that names settings.
    public init(_ code: Code, naming sentence: Sentence) { (self.code, self.sentence) = (code, sentence) }

    /// An error with a sentence that names no settings.
    public init(_ code: Code, _ text: String) { self.init(code, naming: Sentence(text)) }
}

extension ModelError {
    init(_ error: WeightsError) { self.init(.weights, naming: error.sentence) }

    /// - Parameter part: the part that was computed: "the U-Net", "the VAE decoder".
    init(_ error: ComputeError, in part: String) {
        self.init(error.isStopped ? .stopped : .compute, "\(part): \(error.message)")
    }

    static func notFinite(_ part: String) -> ModelError {
        ModelError(
            .nonFinite,
            "\(part) holds numbers that are not finite; the weights or the inputs are damaged or out of range.")
    }

    /// Runs a forward pass. If the compute library refuses, the error names the part.
    static func computing<Value>(
        _ part: String, _ body: () throws(ComputeError) -> Value
    ) throws(ModelError) -> Value {
        do { return try body() } catch { throw ModelError(error, in: part) }
    }
}

extension ComputeContext {
    /// Throws `.nonFinite` with the part's name if `x` contains NaN or infinity.
    func requireFinite(_ x: Tensor, _ part: String) throws(ModelError) {
        guard isFinite(x) else { throw ModelError.notFinite(part) }
    }
}
