import ContentHash
import Sentences
import StrictJSON

/// The files of a stored model by content, and the way to assemble them.
///
///     {"format": 1, "identity": "64 hexadecimal digits", "model": "folder" or "file", "vae": the same or absent,
///      "prediction_type", "variant": the import's choice, or absent,
///      "files": [{"part": "model", "configuration" or "vae", "path": "unet/config.json", "sha256": …, "size": …}]}
struct StoreManifest: Equatable {
    /// The part of a stored model that a file belongs to.
    enum Part: String, CaseIterable { case model, configuration, vae }
    /// Whether a part is a folder or one file, which has the path `file`.
    enum Shape: String, CaseIterable { case folder, file }

    struct Entry: Equatable {
        var part: Part
        /// The path below the part's folder.
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
            if let value { json = json.setting([key: .string(value)]) }
        }
        return json
    }
}

extension StoreManifest {
    /// Reads a manifest, which messages call `name`. Throws `.malformed`.
    init(_ json: JSONValue, name: String) throws(WeightsError) {
        func fields(_ members: JSONObject) -> JSONFields<WeightsError> {
            JSONFields(members) { fault in
                .malformed(
                    "\(name) is damaged (\(fault.key) must be \(fault.need)); remove the model and import it again.")
            }
        }
        let path = JSONShape(.words("a path below the model's folder")) { value in
            value.stringValue.flatMap { FileStore.isInside($0) ? $0 : nil }
        }
        let model = fields(json.objectValue ?? JSONObject())
        let format = JSONShape<Void>(.words("\(StoreManifest.format), the only known format")) {
            $0.intValue == StoreManifest.format ? () : nil
        }
        try model.required("format", format)
        identity = try model.required("identity", SHA256Digest.shape)
        self.model = try model.required("model", .choice())
        vae = try model.optional("vae", .choice())
        prediction = try model.optional("prediction_type", .choice())
        variant = try model.optional("variant", .string())
        files = []
        for members in try model.required("files", .list(of: .object(), count: 1...StoreManifest.maxFiles)) {
            let file = fields(members)
            files.append(
                Entry(
                    part: try file.required("part", .choice()), path: try file.required("path", path),
                    digest: try file.required("sha256", SHA256Digest.shape),
                    size: try file.required("size", .integer(0...Int.max))))
        }
    }
}

extension Int {
    /// The sum of two sizes, at most the largest number there is.
    func addingClamped(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
