import ContentHash
import Foundation
import StrictJSON
import Synchronization
import TensorCore
import TestSupport
import Testing
import Weights

private let models = Fixtures.folder.appendingPathComponent("golden/models")
private let tiny1 = models.appendingPathComponent("tiny-sd15")
private let tiny2 = models.appendingPathComponent("tiny-sd21")

private func withStore(_ body: (ModelStore, URL) throws -> Void) throws {
    try withTemporaryFolder { folder throws in
        try body(ModelStore(folder: folder.appendingPathComponent("deep/store").path), folder)
    }
}

private func blobs(_ store: ModelStore) -> Set<String> {
    Set((try? FileManager.default.contentsOfDirectory(atPath: store.folder + "/blobs/sha256")) ?? [])
}

/// Puts other bytes into a file that is write-protected.
private func replace(_ file: URL, _ content: some Sequence<UInt8>) throws {
    try? FileManager.default.removeItem(at: file)
    try Data(content).write(to: file)
}

@Suite struct ModelStoreTests {
    @Test func folderGoesInAndComesOutTheSame() throws {
        try withStore { store, _ throws in
            #expect(try store.models().isEmpty)
            #expect(try store.find("tiny") == nil)
            let identity = try ModelSource.folder(tiny1.path).identity()
            let stored = try store.importModel(ModelChoice(path: tiny1.path), name: "tiny")
            #expect(stored.identity == identity && stored.names == ["tiny"] && (stored.byteCount ?? 0) > 1 << 20)
            for reference in ["tiny", "sha256:\(identity.hex)", identity.hex, String(identity.hex.prefix(8))] {
                #expect(try store.find(reference) == stored, "\(reference)")
            }
            for reference in ["tin", "", "sha256:", String(identity.hex.prefix(7)), "sha256:\(identity.hex)0", "TINY"] {
                #expect(try store.find(reference) == nil, "\(reference)")
            }
            let opened = try store.open(stored)
            #expect(opened.name == "tiny")
            #expect(try opened.identity() == identity)
            #expect(try opened.text("tokenizer/merges.txt") == ModelSource.folder(tiny1.path).text("tokenizer/merges.txt"))
            for component in ["unet", "vae", "text_encoder"] {
                let weights = try opened.weights(component: component)
                for tensor in try SingleFiles.tensors(of: component, in: tiny1) {
                    #expect(try weights.tensor(tensor.name, shape: tensor.shape).array == tensor.values)
                }
                try weights.requireAllConsumed(ignoring: [])
            }
            // Every file is under the hash of its content.
            for blob in blobs(store) {
                let content = [UInt8](try Data(contentsOf: URL(fileURLWithPath: store.folder + "/blobs/sha256/" + blob)))
                #expect(SHA256Digest(of: content).hex == blob)
            }
        }
    }

    @Test func singleFilesKeepWhatTheyWereImportedWith() throws {
        try withStore { store, folder throws in
            let file = folder.appendingPathComponent("a.safetensors")
            try folder.write("a.safetensors", FileTensor.file(SingleFiles.checkpoint(of: tiny1, .first)))
            try folder.write("v.safetensors", FileTensor.file(SingleFiles.vae(of: tiny2)))
            var choice = ModelChoice(path: file.path)
            choice.configuration = tiny1.path
            choice.prediction = .velocity
            for vae in [tiny2, folder.appendingPathComponent("v.safetensors")] {
                choice.vae = vae.path
                let identity = try ModelSource.open(choice).identity()
                let stored = try store.importModel(choice, name: vae.pathExtension.isEmpty ? "folder" : "file")
                #expect(stored.identity == identity)
                let opened = try store.open(stored)
                #expect(try opened.identity() == identity)
                #expect(try opened.json("scheduler/scheduler_config.json")["prediction_type"] == "v_prediction")
                let tensor = try SingleFiles.tensors(of: "vae", in: tiny2)[0]
                #expect(try opened.weights(component: "vae").tensor(tensor.name, shape: tensor.shape).array == tensor.values)
            }
            // Sources may go: the store has its own.
            try FileManager.default.removeItem(at: file)
            let kept = try #require(try store.find("file"))
            #expect(try store.open(kept).weights(component: "unet").contains("conv_in.weight"))
        }
    }

    /// A stored model takes the user's options in the same way as its files.
    @Test(arguments: [UNetPrediction.epsilon, .velocity], [nil, UNetPrediction.epsilon, .velocity])
    func optionsMeanTheSameForStoredModels(option: UNetPrediction, imported: UNetPrediction?) throws {
        try withStore { store, folder throws in
            let marks = ["v_pred", "ztsnr"].map { FileTensor($0, "U8", [0], []) }
            let plain = try SingleFiles.checkpoint(of: tiny1, .first)
            var files: [(String, ModelChoice)] = []
            for (name, marks) in [("none", []), ("both", marks), ("snr", [marks[1]])] {
                try folder.write("\(name).safetensors", FileTensor.file(plain + marks))
                var choice = ModelChoice(path: folder.appendingPathComponent("\(name).safetensors").path)
                choice.configuration = tiny1.path
                files.append((name, choice))
            }
            files.append(("folder", ModelChoice(path: tiny2.path)))
            for (name, file) in files {
                var choice = file
                choice.prediction = imported
                let stored = try store.importModel(choice, name: "\(name)-\(imported?.rawValue ?? "own")")
                choice.prediction = option
                let expected = try ModelSource.open(choice)
                let opened = try store.open(stored, prediction: option)
                let path = "scheduler/scheduler_config.json"
                #expect(try opened.json(path) == expected.json(path), "\(name)")
                #expect(try opened.identity() == expected.identity(), "\(name)")
                #expect(try opened.notes().count == expected.notes().count, "\(name)")
                #expect(try store.open(stored).identity() == stored.identity, "\(name)")
                choice.vae = tiny2.path
                #expect(
                    try store.open(stored, prediction: option, vae: tiny2.path).identity()
                        == ModelSource.open(choice).identity(), "\(name)")
            }
        }
    }

    /// Nothing is left of an import that the caller's own check of the model ends.
    @Test func importsEndWhereTheModelIsRefused() throws {
        struct Refused: Error {}
        try withStore { store, _ throws in
            #expect(throws: Refused.self) {
                try store.importModel(ModelChoice(path: tiny1.path), name: "bad") { _ in throw Refused() }
            }
            #expect(try store.models().isEmpty)
            #expect(blobs(store).isEmpty)
        }
    }

    @Test func removingDeletesWhatNobodyElseUses() throws {
        try withStore { store, _ throws in
            _ = try store.importModel(ModelChoice(path: tiny1.path), name: "one")
            let first = blobs(store)
            _ = try store.importModel(ModelChoice(path: tiny1.path), name: "again")
            #expect(blobs(store) == first)
            var choice = ModelChoice(path: tiny1.path)
            choice.prediction = .velocity
            _ = try store.importModel(choice, name: "other")
            #expect(blobs(store) == first, "the same files, put together otherwise")
            _ = try store.importModel(ModelChoice(path: tiny2.path), name: "two")
            #expect(blobs(store).count > first.count)
            #expect(try store.models().map(\.names) == [["again", "one"], ["other"], ["two"]])
            _ = try store.remove("two")
            #expect(blobs(store) == first)
            _ = try store.remove("one")
            #expect(try store.models().map(\.names) == [["again"], ["other"]])
            _ = try store.remove("again")
            #expect(blobs(store) == first, "another model still uses them")
            let other = try #require(try store.find("other"))
            _ = try store.remove("sha256:\(other.identity.hex)")
            #expect(blobs(store).isEmpty)
            #expect(try store.models().isEmpty)
            #expect(weightsError { _ = try store.remove("one") }?.code == .notFound)
        }
    }

    @Test(arguments: [
        "", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "ä", "deadbeef", "0123456789abcdef", "x.ckpt", "x.tmp",
        "x\n", String(repeating: "x", count: 65),
    ])
    func namesThatCannotBeAreRefused(name: String) throws {
        try withStore { store, _ throws in
            #expect(weightsError { _ = try store.importModel(ModelChoice(path: tiny1.path), name: name) }?.code == .badOption)
            #expect(try store.models().isEmpty)
        }
    }

    @Test func aNameStandsForOneModel() throws {
        try withStore { store, _ throws in
            for name in ["a", "SD-1.5_x", "beef", String(repeating: "x", count: 64)] {
                _ = try store.importModel(ModelChoice(path: tiny1.path), name: name)
            }
            let error = weightsError { _ = try store.importModel(ModelChoice(path: tiny2.path), name: "a") }
            #expect(error?.code == .badOption && error?.message.contains("another model") == true)
            #expect(try store.find("a")?.identity == ModelSource.folder(tiny1.path).identity())
        }
    }

    /// Writing into the imported file does not change the store, and the other way round.
    @Test func importedFilesAreTheStoresOwn() throws {
        try withStore { store, folder throws in
            let copy = folder.appendingPathComponent("copy")
            try FileManager.default.copyItem(at: tiny2, to: copy)
            let stored = try store.importModel(ModelChoice(path: copy.path), name: "tiny")
            let file = copy.appendingPathComponent("unet/diffusion_pytorch_model.safetensors")
            let handle = try FileHandle(forWritingTo: file)
            try handle.seekToEnd()
            try handle.write(contentsOf: Data([0]))
            try handle.close()
            #expect(try store.open(stored).identity() == stored.identity)
            for blob in blobs(store) {
                let attributes = try FileManager.default.attributesOfItem(atPath: store.folder + "/blobs/sha256/" + blob)
                #expect(attributes[.referenceCount] as? Int == 1 && attributes[.posixPermissions] as? Int == 0o444)
            }
        }
    }

    @Test func brokenModelsLeaveNothing() throws {
        try withStore { store, folder throws in
            try folder.write("broken.safetensors", "x")
            let path = folder.appendingPathComponent("broken.safetensors").path
            #expect(weightsError { _ = try store.importModel(ModelChoice(path: path), name: "a") } != nil)
            #expect(try store.models().isEmpty && blobs(store).isEmpty)
        }
    }
}

@Suite struct DamagedStoreTests {
    private func withImported(_ body: (ModelStore, StoredModel) throws -> Void) throws {
        try withStore { store, folder throws in
            // A copy on the same file system, which the store may share blocks or names with.
            try FileManager.default.copyItem(at: tiny2, to: folder.appendingPathComponent("copy"))
            let path = folder.appendingPathComponent("copy").path
            try body(store, try store.importModel(ModelChoice(path: path), name: "tiny"))
        }
    }

    @Test func changedContentIsFoundAndNamed() throws {
        try withImported { store, stored throws in
            for blob in blobs(store) {
                let url = URL(fileURLWithPath: store.folder + "/blobs/sha256/" + blob)
                let content = [UInt8](try Data(contentsOf: url))
                for change in [content.dropLast(), content.dropLast() + [content[content.count - 1] ^ 1], content + [0]] {
                    try replace(url, change)
                    let error = weightsError { _ = try store.open(stored) }
                    #expect(error?.code == .malformed && error?.message.contains(blob) == true, "\(String(describing: error))")
                }
                try FileManager.default.removeItem(at: url)
                #expect(weightsError { _ = try store.open(stored) }?.code == .notFound)
                // The right content is no excuse for a link out of the store.
                try Data(content).write(to: url.appendingPathExtension("x"))
                try FileManager.default.createSymbolicLink(
                    at: url, withDestinationURL: url.appendingPathExtension("x"))
                #expect(weightsError { _ = try store.open(stored) }?.code == .unreadable)
                try FileManager.default.removeItem(at: url.appendingPathExtension("x"))
                try replace(url, content)
            }
            #expect(try store.open(stored).identity() == stored.identity)
        }
    }

    @Test func importingAgainMendsDamagedContent() throws {
        try withImported { store, stored throws in
            for (index, blob) in blobs(store).sorted().enumerated() {
                let url = URL(fileURLWithPath: store.folder + "/blobs/sha256/" + blob)
                let content = [UInt8](try Data(contentsOf: url))
                let damaged = [content + [0], content.dropLast() + [content[content.count - 1] ^ 1], []]
                try replace(url, damaged[index % damaged.count])
            }
            #expect(weightsError { _ = try store.open(stored) } != nil)
            #expect(try store.importModel(ModelChoice(path: tiny2.path), name: "tiny") == stored)
            #expect(try store.open(stored).identity() == stored.identity)
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder + "/incoming").isEmpty)
        }
    }

    @Test func aDamagedNameConcernsNobodyElse() throws {
        try withImported { store, stored throws in
            let names = URL(fileURLWithPath: store.folder + "/names")
            for damaged in ["", "x", String(repeating: "x", count: 65)] {
                try Data(damaged.utf8).write(to: names.appendingPathComponent("bad"))
                #expect(try store.models() == [stored])
                #expect(try store.damagedNames() == ["bad"])
                #expect(try store.find("tiny") == stored)
                let error = weightsError { _ = try store.find("bad") }
                #expect(error?.code == .malformed && error?.message.contains("names/bad") == true)
                _ = try store.importModel(ModelChoice(path: tiny1.path), name: "one")
                _ = try store.remove("one")
                #expect(try store.remove("bad") == nil)
                #expect(try store.damagedNames().isEmpty)
            }
            try FileManager.default.createSymbolicLink(
                at: names.appendingPathComponent("bad"), withDestinationURL: names.appendingPathComponent("tiny"))
            #expect(try store.damagedNames() == ["bad"])
            // A name that stands for nothing can be given again.
            #expect(try store.importModel(ModelChoice(path: tiny2.path), name: "bad").names == ["bad", "tiny"])
        }
    }

    @Test func aNameIsRemovedOnce() throws {
        try withImported { store, _ throws in
            let outcomes = Mutex<[WeightsError.Code?]>([])
            ThreadGroup.run(6) { _ in
                let error = weightsError { _ = try store.remove("tiny") }
                outcomes.withLock { $0.append(error?.code) }
            }
            #expect(outcomes.withLock { $0.count { $0 == nil } } == 1)
            #expect(outcomes.withLock { $0.count { $0 == .notFound } } == 5)
            let nowhere = ModelStore(folder: store.folder + "/none")
            #expect(weightsError { _ = try nowhere.remove("tiny") }?.code == .notFound)
            #expect(!FileManager.default.fileExists(atPath: nowhere.folder))
        }
    }

    @Test func damagedManifestsAndNamesAreErrors() throws {
        try withImported { store, stored throws in
            let manifest = URL(fileURLWithPath: "\(store.folder)/manifests/\(stored.identity.hex).json")
            let good = String(decoding: try Data(contentsOf: manifest), as: UTF8.self)
            let other = String(repeating: "0", count: 64)
            for bad in [
                "", "{}", "[]", good.replacing("\"format\":1", with: "\"format\":2"),
                good.replacing(stored.identity.hex, with: other),
                good.replacing("unet/config.json", with: "../config.json"),
                good.replacing("\"part\":\"model\"", with: "\"part\":\"x\""),
                good.replacing("\"size\":", with: "\"size\":-"), good.replacing("\"folder\"", with: "\"file\""),
                good.replacing("\"files\":[", with: "\"files\":[],\"x\":["),
                good.replacing("\"files\":[", with: "\"variant\":1,\"files\":["),
            ] {
                try Data(bad.utf8).write(to: manifest)
                #expect(weightsError { _ = try store.open(stored) } != nil, "\(bad.prefix(80))")
                #expect(try store.find("tiny")?.identity == stored.identity)
            }
            // Files of another model's making: all hashes are right, the whole is not.
            try Data(good.replacing("\"model\":\"folder\"", with: "\"model\":\"folder\",\"prediction_type\":\"epsilon\"").utf8)
                .write(to: manifest)
            #expect(weightsError { _ = try store.open(stored) }?.message.contains("import it again") == true)
            // While one manifest is damaged, no file is swept. The damaged model can be removed.
            _ = try store.importModel(ModelChoice(path: tiny1.path), name: "one")
            let (before, one) = (blobs(store), try #require(try store.find("one")))
            try Data("{".utf8).write(to: manifest)
            #expect(try store.models().map(\.byteCount) == [one.byteCount, nil])
            _ = try store.remove("one")
            #expect(blobs(store) == before)
            _ = try store.importModel(ModelChoice(path: tiny1.path), name: "one")
            _ = try store.remove("tiny")
            #expect(blobs(store).count < before.count)
            #expect(try store.open(one).identity() == one.identity)
        }
    }

    /// A process that dies at any point of an import or a removal leaves files. The next one removes them.
    @Test func interruptedImportsAreSweptAway() throws {
        try withImported { store, stored throws in
            let orphan = String(repeating: "a", count: 64)
            let files = FileManager.default
            try Data("x".utf8).write(to: URL(fileURLWithPath: store.folder + "/blobs/sha256/" + orphan))
            for dead in ["1-dead", "2-dead"] {
                try files.createDirectory(atPath: "\(store.folder)/incoming/\(dead)", withIntermediateDirectories: true)
            }
            try Data("x".utf8).write(to: URL(fileURLWithPath: "\(store.folder)/incoming/1-dead/lock"))
            try Data("x".utf8).write(to: URL(fileURLWithPath: "\(store.folder)/incoming/1-dead/\(orphan)"))
            for name in ["names/one.1.tmp", "manifests/\(orphan).json.1.tmp"] {
                try Data("x".utf8).write(to: URL(fileURLWithPath: "\(store.folder)/\(name)"))
            }
            // A removal that only removed the name.
            try files.removeItem(atPath: store.folder + "/names/tiny")
            let nameless = try #require(try store.find(stored.identity.hex))
            #expect(nameless.names.isEmpty && nameless.reference == "sha256:\(stored.identity.hex)")
            #expect(try store.open(nameless).identity() == stored.identity)
            _ = try store.importModel(ModelChoice(path: tiny1.path), name: "one")
            #expect(try files.contentsOfDirectory(atPath: store.folder + "/incoming").isEmpty)
            #expect(try files.contentsOfDirectory(atPath: store.folder + "/names") == ["one"])
            #expect(try files.contentsOfDirectory(atPath: store.folder + "/manifests").allSatisfy { $0.hasSuffix(".json") })
            #expect(blobs(store).contains(orphan))
            _ = try store.remove("sha256:\(stored.identity.hex)")
            #expect(!blobs(store).contains(orphan))
            #expect(try store.open(#require(try store.find("one"))).exists("unet/config.json"))
        }
    }

    @Test func importsAndRemovalsAtOnceDoNotHurtEachOther() throws {
        try withStore { store, _ throws in
            let failures = Mutex<[String]>([])
            ThreadGroup.run(8) { worker in
                do {
                    for round in 0..<3 {
                        let model = worker % 2 == 0 ? tiny1 : tiny2
                        let name = "m\(worker)-\(round)"
                        let stored = try store.importModel(ModelChoice(path: model.path), name: name)
                        _ = try store.open(stored)
                        if round < 2 { _ = try store.remove(name) }
                    }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
            #expect(failures.withLock { $0 } == [])
            let left = try store.models()
            #expect(left.flatMap(\.names).sorted() == (0..<8).map { "m\($0)-2" })
            for model in left { #expect(try store.open(model).identity() == model.identity) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: store.folder + "/incoming").isEmpty)
        }
    }
}

/// Threads of the test's own.
private enum ThreadGroup {
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let left = Mutex(count)
        for index in 0..<count {
            Thread.detachNewThread {
                body(index)
                left.withLock { $0 -= 1 }
            }
        }
        while left.withLock({ $0 }) > 0 { usleep(2000) }
    }
}
