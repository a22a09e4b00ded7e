import Foundation
import ImageFiles
import StrictJSON
import Testing

/// A rendered file, and the functions with which tests ask for one.
struct Picture {
    let image: DecodedImage

    init(_ path: String) throws { image = try ImageDecoder.decode(file: path) }

    /// The prompt and settings of all compared runs: small and short, with both phases of CutDiffusion.
    static let request = [
        "-p", "a red apple on a blue background", "-W", "256", "-H", "256", "--steps", "6", "--cfg-scale", "5", "-s", "7",
        "--method", "cut", "--structure-fraction", "0.5",
    ]

    /// Renders `request` on this host, checks that it left nothing else, and returns the picture.
    static func render(
        _ options: [String], in folder: Folder, name: String = "picture.png", environment: [String: String] = [:]
    ) async throws -> Picture {
        let program = try Program(
            ["render"] + request + options + ["-o", folder.file(name)], in: folder, environment: environment)
        defer { program.end() }
        let ending = try await program.wait()
        try #require(ending.code == 0, "\(program.errorLines)")
        try await Program.waitUntilNone(marked: folder.mark)
        return try Picture(folder.file(name))
    }

    /// Whether the picture has content. Comparisons of even or black pictures would prove nothing.
    func expectContent(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(image.channels == 3, sourceLocation: sourceLocation)
        #expect(Set(image.pixels).count > 30, "the picture is flat", sourceLocation: sourceLocation)
    }
}

/// The picture that all comparisons use, in each precision. The first test that needs one renders it.
actor ReferencePicture {
    static let shared = ReferencePicture()
    private var tasks: [String: Task<[UInt8], any Error>] = [:]

    /// - Parameter precision: as the option spells it.
    func pixels(precision: String = "auto") async throws -> [UInt8] {
        if let task = tasks[precision] { return try await task.value }
        let task = Task {
            let folder = try Folder()
            let picture = try await Picture.render(
                ["--workers", "1", "--threads-per-worker", "1", "--group", "1", "--precision", precision], in: folder)
            picture.expectContent()
            return picture.image.pixels
        }
        tasks[precision] = task
        return try await task.value
    }
}
