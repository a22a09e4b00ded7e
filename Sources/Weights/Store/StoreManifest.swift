import ContentHash
import StrictJSON

/// The files of a stored model by content, and how they are assembled.
///
///     {"format": 1, "identity": "64 hexadecimal digits", "model": "folder" or "file", "vae": the same or absent,
///      "prediction_type", "variant": the import's choice, or absent,
///      "files": [{"part": "model", "configuration" or "vae", "path": "unet/config.json", "sha256": …, "size": …}]}
struct StoreManifest: Equatable {
    /// Whose files they are.
    enum Part: String, CaseIterable { case model, configuration, vae }
    /// Whether a part is a folder or one file, which has the path `file`.
    enum Shape: String { case folder, file }

    struct Entry: Equatable {
        var part: Part
        /// Below the part's folder.
        var path: String
        var digest: SHA256Digest
        var size: Int
    }

    static let format = 1
    static let singleFile = "file"
    private static let maxFiles = 4096

    var identity: SHA256Digest
    var model: Shape
    var vae: Shape?
    var prediction: UNetPrediction?
    var variant: String?
    var files: [Entry]

    /// Bytes of all files; equal files count once.
    var byteCount: Int {
        Dictionary(files.map { ($0.digest, $0.size) }) { first, _ in first }.values.reduce(0) { $0.addingClamped($1) }
    }

    func json() -> JSONValue {
        var json: JSONValue = [
            "format": .integer(Int64(StoreManifest.format)), "identity": .string(identity.hex),
            "model": .string(model.rawValue),
            "files": .array(
                files.map {
                    [
                        "part": .string($0.part.rawValue), "path": .string($0.path), "sha256": .string($0.digest.hex),
                        "size": .integer(Int64($0.size)),
                    ]
                }),
        ]
        let options = [("vae", vae?.rawValue), ("prediction_type", prediction?.rawValue), ("variant", variant)]
        for (key, value) in options {
            if let value { json = json.setting(.object(JSONObject(key, .string(value)))) }
        }
        return json
    }

    init(
        identity: SHA256Digest, model: Shape, vae: Shape?, prediction: UNetPrediction?, variant: String?, files: [Entry]
    ) {
        (self.identity, self.model, self.vae) = (identity, model, vae)
        (self.prediction, self.variant, self.files) = (prediction, variant, files)
    }

    /// Reads a manifest.
    ///
    /// - Parameter name: the file, for messages.
    /// - Throws: `.malformed`.
    init(_ json: JSONValue, name: String) throws(WeightsError) {
        func broken(_ what: String) -> WeightsError {
            WeightsError(.malformed, "\(name) is damaged (\(what)); remove the model and import it again.")
        }
        guard json["format"]?.intValue == StoreManifest.format else { throw broken("its format is not known") }
        guard let identity = json["identity"]?.stringValue.flatMap({ SHA256Digest(hex: $0) }) else { throw broken("identity") }
        guard let model = json["model"]?.stringValue.flatMap(Shape.init) else { throw broken("model") }
        let vae = json["vae"]?.stringValue.flatMap(Shape.init)
        let prediction = json["prediction_type"]?.stringValue.flatMap { UNetPrediction(rawValue: $0) }
        let variant = json["variant"]?.stringValue
        guard (vae == nil) == (json["vae"] == nil), (prediction == nil) == (json["prediction_type"] == nil),
            (variant == nil) == (json["variant"] == nil)
        else { throw broken("vae, prediction_type or variant") }
        guard let list = json["files"]?.arrayValue, (1...StoreManifest.maxFiles).contains(list.count) else {
            throw broken("files")
        }
        var files: [Entry] = []
        for value in list {
            guard let part = value["part"]?.stringValue.flatMap(Part.init), let path = value["path"]?.stringValue,
                FileStore.isInside(path), let digest = value["sha256"]?.stringValue.flatMap({ SHA256Digest(hex: $0) }),
                let size = value["size"]?.intValue, size >= 0
            else { throw broken("an entry of files") }
            files.append(Entry(part: part, path: path, digest: digest, size: size))
        }
        self.init(
            identity: identity, model: model, vae: vae, prediction: prediction, variant: variant, files: files)
    }
}

extension Int {
    /// The sum of two sizes, at most the largest number there is.
    func addingClamped(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
