import Foundation
public import StrictJSON
import TensorCore
import Weights

/// One golden case as files: its parameters and its tensors, read whole.
public struct GoldenFiles: Sendable, CustomStringConvertible {
    public let kind: String
    public let name: String
    public let params: JSONValue
    public let tolerance: JSONValue
    public let inputs: GoldenTensors
    public let expected: GoldenTensors

    public var description: String { "\(kind)/\(name)" }

    /// All cases of a kind: the committed ones and, where the whole set lies beside the checkout, its others.
    ///
    /// There is always at least one committed case; a kind without any is a mistake of the test and stops it.
    public static func cases(_ kind: String) -> [GoldenFiles] {
        let committed = folders(Fixtures.folder.appendingPathComponent("golden/cases/\(kind)"))
        precondition(!committed.isEmpty, "no committed golden case of the kind \(kind)")
        let known = Set(committed.map(\.lastPathComponent))
        let shared = Fixtures.sharedGolden.map { folders($0.appendingPathComponent("cases/\(kind)")) } ?? []
        return (committed + shared.filter { !known.contains($0.lastPathComponent) }).map { GoldenFiles($0, kind: kind) }
    }

    private init(_ folder: URL, kind: String) {
        self.kind = kind
        name = folder.lastPathComponent
        let bytes = [UInt8](try! Data(contentsOf: folder.appendingPathComponent("case.json")))
        let json = try! JSONValue(parsing: bytes, limits: .config)
        params = json["params"] ?? .null
        tolerance = json["tolerance"] ?? .null
        inputs = GoldenTensors(folder, json["inputs"]?.stringValue)
        expected = GoldenTensors(folder, json["expected"]?.stringValue)
    }

    private static func folders(_ parent: URL) -> [URL] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent.path)) ?? []
        return names.sorted().map { parent.appendingPathComponent($0) }
    }

    /// Whether `values` agree with the expected tensor within the case's tolerance, and if not, how they do not.
    public func mismatch(_ tensor: String, _ values: [Float]) -> String? {
        let own = tolerance["per_tensor"]?[tensor] ?? tolerance
        let (atol, rtol) = (own["atol"]?.doubleValue ?? 0, own["rtol"]?.doubleValue ?? 0)
        let reference = expected.floats(tensor)
        guard values.count == reference.count else { return "\(tensor): \(values.count) values for \(reference.count)" }
        for index in values.indices {
            let difference = abs(Double(values[index]) - Double(reference[index]))
            guard difference <= atol + rtol * abs(Double(reference[index])) else {
                return "\(tensor)[\(index)]: \(values[index]) for \(reference[index])"
            }
        }
        return nil
    }
}

/// The tensors of one file of a golden case.
public struct GoldenTensors: Sendable {
    private let file: SafetensorsFile?

    init(_ folder: URL, _ name: String?) {
        file = name.map { try! SafetensorsFile(path: folder.appendingPathComponent($0).path) }
    }

    public var names: [String] { file?.tensors.keys.sorted() ?? [] }

    public func contains(_ name: String) -> Bool { file?.tensors[name] != nil }

    public func shape(_ name: String) -> [Int] { file!.tensors[name]!.shape }

    /// A tensor of floating-point numbers in memory order.
    public func floats(_ name: String) -> [Float] {
        let tensor = try! file!.tensor(name)
        return tensor.array
    }

    /// A tensor of whole numbers in memory order.
    public func integers(_ name: String) -> [Int] { try! file!.integers(name) }

    /// A tensor cut along its first dimension.
    public func rows(_ name: String) -> [[Float]] {
        let values = floats(name)
        guard !values.isEmpty else { return [] }
        let length = values.count / shape(name)[0]
        return stride(from: 0, to: values.count, by: length).map { Array(values[$0..<($0 + length)]) }
    }

    /// A tensor of whole numbers cut along its first dimension.
    public func integerRows(_ name: String) -> [[Int]] {
        let values = integers(name)
        guard !values.isEmpty else { return [] }
        let length = values.count / shape(name)[0]
        return stride(from: 0, to: values.count, by: length).map { Array(values[$0..<($0 + length)]) }
    }
}
