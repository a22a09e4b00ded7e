import Foundation
public import StrictJSON
import Weights

/// One committed golden case as files.
public struct GoldenFiles: Sendable {
    public let params: JSONValue
    private let expected: SafetensorsFile

    /// - Parameter name: below `golden/cases`, such as `txt2img/openmoji-24-red-apple`.
    public init(_ name: String) throws {
        let folder = Fixtures.folder.appendingPathComponent("golden/cases/\(name)")
        let bytes = [UInt8](try Data(contentsOf: folder.appendingPathComponent("case.json")))
        params = try JSONValue(parsing: bytes, limits: .config)["params"] ?? .null
        expected = try SafetensorsFile(path: folder.appendingPathComponent("expected.safetensors").path)
    }

    /// The shape of an expected tensor; empty when there is none of that name.
    public func shape(_ name: String) -> [Int] { expected.tensors[name]?.shape ?? [] }

    /// An expected tensor of whole numbers in memory order.
    public func integers(_ name: String) throws -> [Int] { try expected.integers(name) }
}
