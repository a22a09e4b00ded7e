import CommandSupport
import Foundation
import ImageFiles
import MethodComparison

/// The folder of `--keep`.
struct KeptPictures {
    private let folder: String
    private let replacesExisting: Bool

    /// Makes the folder if it does not exist.
    init(folder: String, replacesExisting: Bool) throws(CommandFailure) {
        self.folder = folder
        self.replacesExisting = replacesExisting
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue { return }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        } catch {
            throw CommandFailure(
                .cannotWrite, "The folder \(folder) of --keep cannot be made: name a new folder in one that you can write to.")
        }
    }

    /// The file `prompt-003_512x512_cut+hidiffusion.png`, after a check that it can be written.
    func place(for subject: ComparedPicture.Subject) throws -> OutputFile {
        let number = String(format: "%03d", subject.promptNumber)
        let name = "prompt-\(number)_\(subject.width)x\(subject.height)_\(subject.method).png"
        return try OutputFile(path: "\(folder)/\(name)", replacesExisting: replacesExisting)
    }
}
