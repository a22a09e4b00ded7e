public import Sentences

/// Why a model, or a file of it, cannot be used.
public struct WeightsError: SentenceError, Equatable {
    public enum Code: Sendable, Equatable {
        /// A file or folder is not there.
        case notFound
        /// It cannot be opened or mapped, or is not a regular file.
        case unreadable
        /// A path that leaves the model's folder, or an invalid shard name.
        case badPath
        /// A file type that Patchloom does not read: pickles, GGUF, Git LFS pointers.
        case unsupportedFormat
        /// A file larger than its limit.
        case tooLarge
        /// The bytes break the rules of their format.
        case malformed
        /// A tensor has an unknown or unsuitable element type.
        case unsupportedElementType
        /// The model needs a tensor that is not there.
        case missingTensor
        /// A tensor has another shape than the model needs.
        case misshapenTensor
        /// The file holds tensors that the model does not know.
        case unusedTensors
        /// Patchloom does not run or does not recognise this kind of model.
        case unsupportedModel
        /// An impossible option or name.
        case badOption
        /// A file or folder cannot be written.
        case unwritable
    }

    public var code: Code
    /// Names the file or tensor and what to do.
    public var sentence: Sentence

    /// An error from its kind and sentence.
    public init(_ code: Code, _ sentence: Sentence) { (self.code, self.sentence) = (code, sentence) }
}

extension WeightsError {
    static func notFound(_ sentence: Sentence) -> WeightsError { WeightsError(.notFound, sentence) }
    static func unreadable(_ sentence: Sentence) -> WeightsError { WeightsError(.unreadable, sentence) }
    static func badPath(_ sentence: Sentence) -> WeightsError { WeightsError(.badPath, sentence) }
    static func unsupportedFormat(_ sentence: Sentence) -> WeightsError { WeightsError(.unsupportedFormat, sentence) }
    static func tooLarge(_ sentence: Sentence) -> WeightsError { WeightsError(.tooLarge, sentence) }
    static func malformed(_ sentence: Sentence) -> WeightsError { WeightsError(.malformed, sentence) }
    static func unsupportedElementType(_ sentence: Sentence) -> WeightsError { WeightsError(.unsupportedElementType, sentence) }
    static func missingTensor(_ sentence: Sentence) -> WeightsError { WeightsError(.missingTensor, sentence) }
    static func misshapenTensor(_ sentence: Sentence) -> WeightsError { WeightsError(.misshapenTensor, sentence) }
    static func unusedTensors(_ sentence: Sentence) -> WeightsError { WeightsError(.unusedTensors, sentence) }
    static func unsupportedModel(_ sentence: Sentence) -> WeightsError { WeightsError(.unsupportedModel, sentence) }
    static func badOption(_ sentence: Sentence) -> WeightsError { WeightsError(.badOption, sentence) }
    static func unwritable(_ sentence: Sentence) -> WeightsError { WeightsError(.unwritable, sentence) }
}

/// Text from a file for a message: at most 128 characters, control characters made visible.
func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars
    let head = scalars.prefix(128).map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : String($0) }.joined()
    return "\"" + head + (scalars.dropFirst(128).isEmpty ? "" : "…") + "\""
}

/// A shape for a message: at most eight extents.
func described(_ shape: [Int]) -> String {
    guard shape.count > 8 else { return "\(shape)" }
    return "[" + shape.prefix(8).map(String.init).joined(separator: ", ") + ", … (\(shape.count) extents)]"
}

/// Names of tensors for a message: their number, and the first five.
func listed(_ names: [String]) -> String {
    let shown = names.prefix(5).map(quoted).joined(separator: ", ")
    let more = names.count > 5 ? " and \(names.count - 5) more" : ""
    return "\(names.count == 1 ? "1 tensor" : "\(names.count) tensors") (\(shown)\(more))"
}

/// Whether a text has only ASCII letters, ASCII digits and the characters of `others`.
func isWord(_ text: String, and others: String) -> Bool {
    text.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF) || others.utf8.contains(byte)
    }
}

/// Whether two shapes are equal except for trailing ones: a matrix and a 1×1 convolution are the same.
func areAlike(_ a: [Int], _ b: [Int]) -> Bool {
    func trimmed(_ shape: [Int]) -> ArraySlice<Int> {
        var shape = shape[...]
        while shape.count > 2, shape.last == 1 { shape.removeLast() }
        return shape
    }
    return trimmed(a) == trimmed(b)
}
