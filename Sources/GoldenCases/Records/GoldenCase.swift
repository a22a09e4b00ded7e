import ContentHash
import FoundationEssentials
import StrictJSON

/// One case, read from its folder.
struct GoldenCase {
    let folder: String
    let kind: String
    /// Path of the model relative to the folder that holds `models`, nil if the case needs none.
    let model: String?
    let parameters: Parameters
    let inputs: TensorFile?
    let expected: TensorFile
    let tolerance: Tolerance
    let toleranceByTensor: [String: Tolerance]
    private let expectedPath: String

    /// - Throws: `.failed` for a folder that is not a case, and for errors in its files.
    init(folder: String) throws {
        let path = folder + "/case.json"
        guard let data = FileManager.default.contents(atPath: path) else { throw GoldenError.failed("\(path) cannot be read") }
        let json: JSONValue
        do { json = try JSONValue(parsing: [UInt8](data), limits: .config) } catch {
            throw GoldenError.failed("\(path): \(error)")
        }
        self.folder = folder
        let top = Parameters(json: json, place: path)
        kind = try top.string("kind")
        model = try top.optionalString("model")
        parameters = Parameters(json: json["params"] ?? .null, place: "\(path), params")
        let rules = Parameters(json: json["tolerance"] ?? .null, place: "\(path), tolerance")
        tolerance = try GoldenCase.tolerance(rules)
        var byTensor: [String: Tolerance] = [:]
        for (name, rule) in json["tolerance"]?["per_tensor"]?.objectValue ?? JSONObject() {
            byTensor[name] = try GoldenCase.tolerance(Parameters(json: rule, place: "\(path), per_tensor \(name)"))
        }
        toleranceByTensor = byTensor
        inputs = try top.optionalString("inputs").map { try TensorFile(path: GoldenCase.path($0, below: folder)) }
        let name = try top.string("expected")
        expectedPath = try GoldenCase.path(name, below: folder)
        expected = try TensorFile(path: expectedPath)
        guard !expected.tensors.isEmpty else { throw GoldenError.failed("\(name) holds no tensor to compare with") }
        if let stranger = byTensor.keys.sorted().first(where: { expected.tensors[$0] == nil }) {
            throw GoldenError.failed("\(path): there is a tolerance for \(stranger), which \(name) does not have")
        }
    }

    /// SHA-256 of the file of expected tensors, which tells whether a record belongs to this case.
    func expectedDigest() throws(GoldenError) -> SHA256Digest {
        guard let data = FileManager.default.contents(atPath: expectedPath) else {
            throw .failed("\(expectedPath) cannot be read")
        }
        return SHA256Digest(of: [UInt8](data))
    }

    private static func tolerance(_ rule: Parameters) throws(GoldenError) -> Tolerance {
        if rule.has("psnr") {
            let decibels = try rule.number("psnr")
            guard decibels > 0 else {
                throw .failed("\(rule.place): a PSNR of \(decibels) dB tells nothing, it must be positive")
            }
            return Tolerance(absolute: 0, relative: 0, decibels: decibels)
        }
        let (absolute, relative) = (try rule.number("atol"), try rule.number("rtol"))
        guard absolute >= 0, relative >= 0 else { throw .failed("\(rule.place): tolerances are not negative") }
        return Tolerance(absolute: absolute, relative: relative)
    }

    /// A path from a case file, which may not lead out of the folder.
    static func path(_ name: String, below folder: String) throws(GoldenError) -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !parts.isEmpty, parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else {
            throw .failed("\"\(name)\" is not a path below \(folder)")
        }
        return folder + "/" + name
    }

    /// `name` below the nearest folder above the case that has it.
    func resolve(_ name: String) throws(GoldenError) -> String {
        var ancestor = folder
        while let slash = ancestor.lastIndex(of: "/"), slash > ancestor.startIndex {
            ancestor = String(ancestor[..<slash])
            let candidate = try GoldenCase.path(name, below: ancestor)
            if FileManager.default.fileExists(atPath: candidate) { return candidate }
        }
        throw .failed("no folder above \(folder) has \(name)")
    }
}

/// An object of a case file, read with kinds checked.
struct Parameters {
    let json: JSONValue
    /// Its place, for messages.
    let place: String

    func has(_ key: String) -> Bool { json[key].map { !$0.isNull } ?? false }

    func value(_ key: String) throws(GoldenError) -> JSONValue {
        guard let value = json[key] else { throw .failed("\(place): \"\(key)\" is missing") }
        return value
    }

    private func wrong(_ key: String, _ wanted: String) -> GoldenError {
        .failed("\(place): \"\(key)\" is \(json[key]?.kindName ?? "absent") where \(wanted) is needed")
    }

    func string(_ key: String) throws(GoldenError) -> String {
        guard let text = try value(key).stringValue else { throw wrong(key, "a string") }
        return text
    }

    /// The string; nil if the key is absent or null.
    func optionalString(_ key: String) throws(GoldenError) -> String? { has(key) ? try string(key) : nil }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(GoldenError) -> Int {
        guard let number = try value(key).intValue, range.contains(number) else {
            throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A seed of a random stream, 64 bits without sign.
    func seed(_ key: String) throws(GoldenError) -> UInt64 {
        guard let seed = try value(key).wholeValue else { throw wrong(key, "a whole number from 0 to \(UInt64.max)") }
        return seed
    }

    func number(_ key: String) throws(GoldenError) -> Double {
        guard let number = try value(key).doubleValue else { throw wrong(key, "a number") }
        return number
    }

    func number(_ key: String, default fallback: Double) throws(GoldenError) -> Double {
        has(key) ? try number(key) : fallback
    }

    func flag(_ key: String) throws(GoldenError) -> Bool {
        guard let flag = try value(key).boolValue else { throw wrong(key, "true or false") }
        return flag
    }

    /// A list of whole numbers of any size.
    func integers(_ key: String) throws(GoldenError) -> [Int] {
        let list = try value(key).arrayValue?.map(\.intValue)
        guard let list, !list.contains(nil) else { throw wrong(key, "a list of whole numbers") }
        return list.compactMap(\.self)
    }

    /// A list of strings, or one string as a list of one.
    func strings(_ key: String) throws(GoldenError) -> [String] {
        if let text = try value(key).stringValue { return [text] }
        let list = try value(key).arrayValue?.map(\.stringValue)
        guard let list, !list.contains(nil) else { throw wrong(key, "a string or a list of strings") }
        return list.compactMap(\.self)
    }
}
