import CKernels
import COneDNN

/// The arithmetic of networks.
public enum PrecisionChoice: String, Sendable, CaseIterable {
    /// bf16 where it is faster than f32, else f32.
    case auto
    case f32
    /// Weights and activations are bf16; sums, statistics of norms and softmax are f32.
    case bf16

    /// The precision with this element type of weights and activations.
    public init(_ type: ElementType) {
        switch type {
        case .f32: self = .f32
        case .bf16: self = .bf16
        case .f16: preconditionFailure("no precision has f16: operations refuse it")
        }
    }

    /// The element type of weights and activations with a backend on this CPU: the same at every start.
    ///
    /// - Throws: if the backend has no bf16 here.
    public func resolved(_ backend: BackendChoice) throws(ComputeError) -> ElementType {
        switch self {
        case .f32: return .f32
        case .auto: return backend.bf16 == .fast ? .bf16 : .f32
        case .bf16:
            guard backend.bf16 != .missing else {
                throw ComputeError(
                    "bf16 needs the backend onednn on a CPU with AVX-512, and this is not the case here: choose f32 or auto")
            }
            return .bf16
        }
    }

    /// A note that bf16 was chosen where it is not faster; nil otherwise.
    public func note(_ backend: BackendChoice) -> String? {
        self == .bf16 && backend.bf16 == .slow ? "bf16 is not faster than f32 on this CPU; it only needs less memory" : nil
    }
}

/// The usefulness of bf16 to a compute library on a CPU. The library's instruction set and the maker of the CPU decide, never
/// a timing, which might come out otherwise at the next start.
enum BF16Support {
    /// Products of bf16 are refused.
    case missing
    /// They are computed, but not faster than products of f32.
    case slow
    case fast

    /// The support of bf16 by oneDNN, from its instruction set.
    ///
    /// AMX multiplies bf16 several times faster than f32. oneDNN names it only if the operating system permits it, as our own
    /// kernels do. Without AMX, the dot products of AVX512-BF16 run at twice the speed of f32 on AMD's cores (Zen 4, Zen 5) and
    /// at half of it on Intel's. AVX-512 alone emulates them.
    init(oneDNN instructionSet: String) {
        let set = OneDNNInstructionSet(instructionSet)
        if set.hasTiles || set.hasBF16Dot && ck_has_fast_bf16_dot() != 0 {
            self = .fast
        } else {
            self = set.hasBF16Dot || set.emulatesBF16 ? .slow : .missing
        }
    }
}

extension BackendChoice {
    /// The usefulness of bf16 with this backend on this CPU.
    var bf16: BF16Support {
        switch resolved {
        case .onednn: BF16Support(oneDNN: String(cString: conednn_instruction_set()))
        case .openblas: .missing
        case .auto: preconditionFailure("a resolved backend is never auto")
        }
    }
}
