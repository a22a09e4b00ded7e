public import ContentHash
import Sentences
import StrictJSON
public import Weights

/// A LoRA file that a picture is asked with.
public struct LoRASelection: Sendable, Equatable {
    /// What the file is called, without folder and ending. Where there is no hash, the file is found by it.
    public var name: String
    /// SHA-256 of the file, where it is known: then the name is only for people.
    public var sha256: SHA256Digest?
    public var scale: LoRAScale

    public init(name: String, sha256: SHA256Digest? = nil, scale: LoRAScale = 1) {
        (self.name, self.sha256, self.scale) = (name, sha256, scale)
    }

    /// The most LoRA files of one picture.
    static let countLimit = 32
    /// The largest scale, either way; what people use lies between −2 and 2.
    static let scaleLimit = 100.0
    private static let nameLimit = 1024

    /// Throws `.invalidRequest`.
    func validated() throws(RenderError) {
        guard !name.isEmpty, name.utf8.count <= Self.nameLimit, !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw RenderError(
                .invalidRequest,
                "The name of a LoRA must have 1 to \(Self.nameLimit) bytes and no control characters: name a file.")
        }
        if let wrong = scale.numbers.first(where: { !$0.isFinite || abs($0) > Self.scaleLimit }) {
            throw RenderError(
                .invalidRequest,
                "A scale of \(wrong) for the LoRA \(name.prefix(80)) is not possible: choose \(-Int(Self.scaleLimit)) to "
                    + "\(Int(Self.scaleLimit)).")
        }
    }
}

extension RenderRequest {
    /// The prompt as it is encoded, without tags.
    func encodedPrompt() throws(RenderError) -> String { try LoRATags(prompt).text }

    /// All LoRA files of the picture in the order of merging: those of `loras`, then those of the prompt's tags.
    public func selectedLoRAs() throws(RenderError) -> [LoRASelection] {
        let tags = try LoRATags(prompt).tags.map { LoRASelection(name: $0.name, scale: $0.scale) }
        guard try LoRATags(negativePrompt).tags.isEmpty else {
            throw RenderError(
                .invalidRequest,
                "The negative prompt has a tag <lora:…>, but a LoRA counts for the whole picture: move it into the prompt, with a "
                    + "negative scale to weaken what it shows.")
        }
        let all = loras + tags
        guard all.count <= LoRASelection.countLimit else {
            throw RenderError(
                .invalidRequest,
                "\(all.count) LoRA files are too many for one picture: choose at most \(LoRASelection.countLimit).")
        }
        for selection in all { try selection.validated() }
        return all
    }
}

extension LoRAScale {
    /// Members that hold a scale. A version that knows one scale only refuses the second member instead of ignoring it, and
    /// reads everything else, so the protocol's version stays.
    static let keys = ["scale", "text_encoder_scale"]

    /// One number is the member it always was; a second is that of the text encoders.
    func write(to object: inout JSONObject) {
        object[Self.keys[0]] = .number(unet)
        if single == nil { object[Self.keys[1]] = .number(textEncoder) }
    }

    /// nil without a number, or with something else where one belongs.
    init?(json: JSONValue) {
        guard let unet = json[Self.keys[0]]?.doubleValue else { return nil }
        guard let second = json[Self.keys[1]] else {
            self.init(unet)
            return
        }
        guard let textEncoder = second.doubleValue else { return nil }
        self.init(unet: unet, textEncoder: textEncoder)
    }
}

extension LoRASelection {
    var json: JSONValue {
        var object = JSONObject()
        object["name"] = .string(name)
        object["sha256"] = sha256.map { .string($0.hex) }
        scale.write(to: &object)
        return .object(object)
    }

    /// nil for anything but an object with a name, one or two scales and perhaps a hash.
    init?(json: JSONValue) {
        guard let object = json.objectValue, object.keys.allSatisfy((["name", "sha256"] + LoRAScale.keys).contains),
            let name = object["name"]?.stringValue, let scale = LoRAScale(json: json)
        else { return nil }
        self.init(name: name, scale: scale)
        guard let hash = object["sha256"] else { return }
        guard let digest = hash.stringValue.flatMap({ SHA256Digest(hex: $0) }) else { return nil }
        sha256 = digest
    }
}

/// A LoRA file as it was found: what the picture's metadata say of it.
public struct AppliedLoRA: Sendable, Equatable {
    /// Without folder and ending.
    public var name: String
    /// SHA-256 of the file.
    public var sha256: SHA256Digest
    /// The first digits of the SHA-256 of its tensors, as A1111's web UI tells LoRA files apart.
    public var shortHash: String
    public var scale: LoRAScale

    /// The digits in a picture's parameters.
    static let shortHashDigits = 12

    /// The file for people.
    var summary: String {
        let scale = scale.single.map { "\($0)" } ?? "\(scale.unet), text encoder × \(scale.textEncoder)"
        return "LoRA \(name) (\(sha256.hex.prefix(10))) × \(scale)"
    }

    var json: JSONValue {
        var object = JSONObject()
        object["name"] = .string(name)
        object["sha256"] = .string(sha256.hex)
        scale.write(to: &object)
        return .object(object)
    }
}

extension ModelDescription {
    /// The model with the LoRA files of a request, each found in the library and checked against the model.
    ///
    /// - Throws: `.notFound` for files that are not there, `.badModel` for files that do not fit, both naming the file.
    func applying(_ selections: [LoRASelection], from library: LoRALibrary) throws(RenderError) -> ModelDescription {
        guard !selections.isEmpty else { return self }
        var uses: [LoRAUse] = []
        var applied: [AppliedLoRA] = []
        // A file is read and hashed once, however often it is named.
        var opened: [String: (file: LoRAFile, shortHash: String)] = [:]
        for selection in selections {
            let key = selection.sha256?.hex ?? selection.name
            let known: (file: LoRAFile, shortHash: String)
            if let found = opened[key] {
                known = found
            } else {
                known = try Self.open(selection, library)
            }
            opened[key] = known
            let file = known.file
            uses.append(LoRAUse(file, scale: selection.scale))
            applied.append(
                AppliedLoRA(
                    name: LoRALibrary.stem(ofPath: selection.name), sha256: file.digest, shortHash: known.shortHash,
                    scale: selection.scale))
        }
        let composed = try RenderError.model(source) { try source.applying(uses) }
        var model = self
        model.notes += composed.loraNotes
        model.loras = applied
        return model
    }

    /// A name that leads out of the folders or means several files is the request's fault, a damaged file is the file's.
    private static func open(
        _ selection: LoRASelection, _ library: LoRALibrary
    ) throws(RenderError) -> (file: LoRAFile, shortHash: String) {
        do throws(WeightsError) {
            let file =
                if let digest = selection.sha256 { try library.file(digest: digest) } else {
                    try library.file(named: selection.name)
                }
            return (file, String(file.dataDigest().hex.prefix(AppliedLoRA.shortHashDigits)))
        } catch {
            let code: RenderError.Code =
                switch error.code {
                case .notFound: .notFound
                case .badPath, .badOption: .invalidRequest
                default: .badModel
                }
            throw RenderError(code, naming: error.sentence)
        }
    }
}

extension JobContext {
    /// The context of a model with what is merged into it.
    init(_ model: ModelDescription, conditioning: Conditioning?) {
        self.init(
            modelIdentity: model.identity, loras: model.loras.map { LoRA(sha256: $0.sha256, scale: $0.scale) },
            conditioning: conditioning)
    }
}

extension JobContext.LoRA {
    var json: JSONValue {
        var object = JSONObject()
        object["sha256"] = .string(sha256.hex)
        scale.write(to: &object)
        return .object(object)
    }

    /// Throws `.malformed` for anything but a short list of files.
    static func list(_ json: JSONValue?) throws(RenderError) -> [JobContext.LoRA] {
        guard let json else { return [] }
        guard let list = json.arrayValue, (1...LoRASelection.countLimit).contains(list.count) else {
            throw RenderError(.malformed, "A job's context has no list of 1 to \(LoRASelection.countLimit) LoRA files.")
        }
        var loras: [JobContext.LoRA] = []
        for element in list {
            let fields = WireFields(element, "A LoRA file of a job's context")
            try fields.only(["sha256"] + LoRAScale.keys)
            guard let sha256 = SHA256Digest(hex: try fields.string("sha256")), let scale = LoRAScale(json: element),
                scale.numbers.allSatisfy({ $0.isFinite && abs($0) <= LoRASelection.scaleLimit })
            else { throw RenderError(.malformed, "A job's context names a LoRA file without its SHA-256 or its scale.") }
            loras.append(JobContext.LoRA(sha256: sha256, scale: scale))
        }
        return loras
    }
}
