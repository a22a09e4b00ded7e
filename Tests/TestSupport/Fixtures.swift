public import Foundation

/// The places of test data.
public enum Fixtures {
    /// The folder of committed fixtures.
    public static var folder: URL { Bundle.module.resourceURL!.appendingPathComponent("Fixtures") }

    /// The checkout: the folder that holds Package.swift.
    public static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The embedded model as a folder of files.
    public static let embeddedModel = repository.appendingPathComponent("Sources/CEmbeddedModel/model")

    /// The full set of golden cases, a folder `shared/golden` beside the checkout or above it; nil where there is none.
    public static let sharedGolden: URL? = {
        var folder = repository.appendingPathComponent("Tests")
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let candidate = folder.appendingPathComponent("shared/golden")
            if FileManager.default.fileExists(atPath: candidate.appendingPathComponent("cases").path) { return candidate }
        }
        return nil
    }()
}
