import EmbeddedModel
import Rendering
import StrictJSON
import TestSupport
import Weights

/// The embedded model with some of its files changed.
enum ModelVariant {
    /// - Parameter replacements: new contents by path; nil takes the file away.
    static func source(name: String = "variant", _ replacements: [String: [UInt8]?]) -> ModelSource {
        var files = EmbeddedModel.files
        for (path, content) in replacements {
            guard let content else {
                files[path] = nil
                continue
            }
            // Never given back: the bytes of an embedded model live as long as the program.
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, content.count), alignment: 64)
            copy.copyBytes(from: content)
            files[path] = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<content.count])
        }
        return .embedded(name: name, files: files)
    }

    static func bytes(_ path: String) -> [UInt8] { EmbeddedModel.files[path].map(Array.init) ?? [] }

    /// The model with members of one JSON file set.
    static func source(changing path: String, _ members: [String: JSONValue]) throws -> ModelSource {
        var object = JSONObject()
        for (key, value) in try JSONValue(parsing: bytes(path), limits: .config).objectValue ?? JSONObject() {
            object[key] = value
        }
        for (key, value) in members { object[key] = value }
        return source([path: JSONValue.object(object).canonicalBytes()])
    }

    /// The model with another kind of prediction.
    static func predicting(_ type: String) throws -> ModelDescription {
        try ModelDescription(
            source: source(changing: "scheduler/scheduler_config.json", ["prediction_type": .string(type)]))
    }

    /// The embedded model itself. Native size 128 px, predicts velocity.
    static let embedded = Result { try ModelDescription(source: .embeddedModel) }
}

/// A request from the defaults and a change. The picture is made at once unless the change says otherwise.
func request(_ change: (inout RenderRequest) -> Void) -> RenderRequest {
    var request = RenderRequest()
    request.stages = []
    change(&request)
    return request
}

/// The error that `body` throws; nil when it throws none, or one of another type.
func refusal(_ body: () throws -> Void) -> RenderError? {
    do {
        try body()
        return nil
    } catch { return error as? RenderError }
}

extension RenderError {
    /// Whether the message is one line that ends like a sentence.
    var isSentence: Bool { message.hasSuffix(".") && !message.contains("\n") && message.count > 20 }
}

extension TaskOutput {
    /// The prediction of a network, or the result of an encoder.
    var latent: Latent? {
        let (channels, height, width) = (shape["channels"], shape["height"], shape["width"])
        return channels == 0 ? nil : Latent(channels: channels, height: height, width: width, values: values)
    }
}
