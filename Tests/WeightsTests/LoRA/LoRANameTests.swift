import ContentHash
import Foundation
import Sentences
import TensorCore
import TestSupport
import Testing

@testable import Weights

/// The files that names of LoRAs mean in a library.
@Suite struct LoRANameTests {
    private func write(
        _ folder: URL, _ path: String, seed: UInt64, alias: String? = nil
    ) throws -> SHA256Digest {
        let metadata = alias.map { ["ss_output_name": $0] } ?? [:]
        try folder.write(path, Numbers.file(LoRATests.pair(TinyModel.toQ, seed: seed), metadata: metadata))
        return try LoRAFile(path: folder.appendingPathComponent(path).path).digest
    }

    private func link(_ folder: URL, _ path: String, to target: String) throws {
        let url = folder.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        #expect(symlink(target, url.path) == 0)
    }

    private func refusal(_ library: LoRALibrary, _ name: String) throws -> WeightsError {
        try #require(weightsError { _ = try library.file(named: name) })
    }

    /// Each wrapper is cut off once: neither memory nor stack grow with their number.
    @Test func wrappersWithoutEnd() {
        let name = String(repeating: "lora.", count: 20_000) + "x.lora_down.weight"
        #expect(LoRAKey(name) == nil)
        #expect(!LoRAKey.belongsToModel(name) && !LoRAKey.isHarmless(name))
    }

    private static let (composed, decomposed) = ("caf\u{E9} \u{FC}ber", "cafe\u{301} u\u{308}ber")

    /// Path of the file, and a name that means it.
    @Test(arguments: [
        ("style/food/croissant v1.2.safetensors", "croissant v1.2"), ("a/b/c/d/ink.safetensors", "ink"),
        ("a/ink.safetensors", "ink.safetensors"), ("ink.SafeTensors", "ink"), ("a/ink.SAFETENSORS", "ink"),
        ("a/ink.SAFETENSORS", "a/ink"), ("a/ink.SAFETENSORS", "ink.safetensors"), ("ink.safetensors", "ink.SAFETENSORS"),
        ("ink/ink.safetensors", "ink"), ("a/ink.v2.safetensors", "ink.v2"), ("a/\(composed).safetensors", decomposed),
        ("a/\(decomposed).safetensors", composed), ("\(decomposed)/ink.safetensors", "\(composed)/ink"),
        ("\(composed).SafeTensors", decomposed), ("a/日本.safetensors", "日本"),
    ])
    func aFileIsFound(_ path: String, _ name: String) throws {
        try withTemporaryFolder { folder in
            let wanted = try write(folder, path, seed: 1)
            _ = try write(folder, "z/other.safetensors", seed: 2)
            let library = try LoRALibrary(folders: [folder.path])
            #expect(try library.file(named: name).digest == wanted)
            #expect(try library.file(digest: wanted).digest == wanted)
        }
    }

    /// A path means its file, even if other files have its last name. A name goes before an alias.
    @Test func theNearestMeaningCounts() throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "one/ink.safetensors", seed: 1)
            let inside = try write(folder, "one/style/ink.safetensors", seed: 2)
            _ = try write(folder, "two/ink.safetensors", seed: 3)
            let wash = try write(folder, "two/deep/wash.safetensors", seed: 4)
            let fog = try write(folder, "two/x_v17.safetensors", seed: 5, alias: "fog")
            _ = try write(folder, "two/y.safetensors", seed: 6, alias: "wash")
            let mist = try write(folder, "two/z.safetensors", seed: 7, alias: "mist.safetensors")
            let library = try LoRALibrary(folders: ["one", "two"].map { folder.path + "/" + $0 })
            #expect(try library.file(named: "style/ink").digest == inside)
            #expect(try library.file(named: "wash").digest == wash)
            for name in ["fog", "fog.safetensors", "fog.SafeTensors", "x_v17"] {
                #expect(try library.file(named: name).digest == fog)
            }
            for name in ["mist", "mist.safetensors"] { #expect(try library.file(named: name).digest == mist) }
            #expect(weightsError { _ = try library.file(named: "ink") }?.code == .badOption)
        }
    }

    /// No place puts a file before another of the same name: neither the top of a folder, nor the first of several folders, nor
    /// the spelling of the path.
    @Test(
        arguments: [
            (["a/ink.safetensors", "a/style/ink.safetensors"], "ink", "such as style/ink"),
            (["a/ink.safetensors", "a/ink.SAFETENSORS"], "ink.safetensors", "--lora"),
            (["a/\(composed).safetensors", "a/\(decomposed).safetensors"], composed, "--lora"),
            (["a/ink.safetensors", "b/ink.safetensors"], "ink", "--lora"),
            (["a/x/ink.safetensors", "b/x/ink.safetensors"], "ink", "--lora"),
            (["a/x/ink.safetensors", "b/x/ink.safetensors"], "x/ink", "--lora"),
            (["a/x/ink.safetensors", "b/x/ink.SafeTensors"], "x/ink.safetensors", "--lora"),
            (["a/\(composed)/ink.safetensors", "a/\(decomposed)/ink.safetensors"], "\(decomposed)/ink", "--lora"),
        ] as [([String], String, String)])
    func noPlaceGoesBeforeAnother(_ paths: [String], _ name: String, _ remedy: String) throws {
        try withTemporaryFolder { folder in
            for path in ["a", "b"] {
                try FileManager.default.createDirectory(atPath: folder.path + "/" + path, withIntermediateDirectories: true)
            }
            for (index, path) in paths.enumerated() { _ = try write(folder, path, seed: UInt64(index)) }
            let folders = ["a", "b"].map { folder.path + "/" + $0 }
            let error = try refusal(LoRALibrary(folders: folders), name)
            #expect(error.code == .badOption && error.message.contains(remedy), "\(error)")
            for path in paths {
                let said = error.message.unicodeScalars
                #expect(said.contains(Array((folder.path + "/" + path).unicodeScalars)), "\(error)")
            }
            // The same content is one file, in any place and under any name.
            for path in paths { _ = try write(folder, path, seed: 9) }
            #expect(try LoRALibrary(folders: folders).file(named: name).name.hasPrefix(folder.path))
        }
    }

    /// A link that leads nowhere still has its name: no other file is taken in its place.
    @Test func brokenLinksCount() throws {
        try withTemporaryFolder { folder in
            for path in ["a/ink.safetensors", "a/style/fog.SafeTensors"] { try link(folder, path, to: "/mnt/gone/x") }
            try link(folder, "dead", to: "/mnt/gone")
            let library = try LoRALibrary(folders: [folder.path + "/a"])
            for (name, path) in [
                ("ink", "ink.safetensors"), ("fog", "style/fog.SafeTensors"), ("style/fog", "style/fog.SafeTensors"),
            ] {
                let error = try refusal(library, name)
                #expect(error.code == .notFound, "\(error)")
                #expect(error.message.contains("\(folder.path)/a/\(path) "), "the link: \(error)")
                #expect(error.message.contains(" /mnt/gone/x"), "its target: \(error)")
            }
            let direct = weightsError { _ = try LoRAFile(path: folder.path + "/a/ink.safetensors") }
            #expect(direct?.code == .notFound && direct?.message.contains(" /mnt/gone/x") == true, "\(direct as Any)")
            let dead = weightsError { _ = try LoRALibrary(folders: [folder.path + "/dead"]) }
            #expect(dead?.code == .notFound && dead?.message.contains(" /mnt/gone") == true)

            _ = try write(folder, "a/other/ink.safetensors", seed: 1)
            _ = try write(folder, "a/x.safetensors", seed: 2, alias: "fog")
            let both = try refusal(library, "ink")
            #expect(both.code == .badOption && both.message.contains("a/ink.safetensors (a link to /mnt/gone/x"), "\(both)")
            #expect(both.message.contains("a/other/ink.safetensors"), "\(both)")
            // Not by its alias either.
            #expect(try refusal(library, "fog").message.contains(" /mnt/gone/x"))
            #expect(try library.file(named: "other/ink").name.hasSuffix("other/ink.safetensors"))
        }
    }

    /// A file of the right name in another format is refused, and the sentence names the format.
    @Test(arguments: ["x/ink.pt", "ink.ckpt", "a/b/ink.BIN"]) func foreignFilesAreNamed(_ path: String) throws {
        try withTemporaryFolder { folder in
            try folder.write(path, [0x80, 2] + Array("}q".utf8))
            let library = try LoRALibrary(folders: [folder.path])
            for name in ["ink", "ink.safetensors", LoRAListing.lastPart(path), String(path.split(separator: ".")[0])] {
                let error = try refusal(library, name)
                #expect(error.code == .unsupportedFormat, "\(error)")
                #expect(error.message.hasPrefix("\(folder.path)/\(path) ") && error.message.contains("pickle"), "\(error)")
            }
            #expect(try refusal(library, "in").code == .notFound)
            try folder.write(path, Numbers.file(LoRATests.pair(TinyModel.toQ, seed: 1)))
            let renamed = try refusal(library, "ink")
            let meant = "\(folder.path)/\(path.split(separator: ".")[0]).safetensors"
            #expect(renamed.code == .unsupportedFormat && renamed.message.contains(" \(meant)"), "the new name: \(renamed)")
            let ink = try write(folder, "y/ink.safetensors", seed: 1)
            #expect(try library.file(named: "ink").digest == ink)
        }
    }

    @Test func anAliasFollowsItsFile() throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "a/x.safetensors", seed: 1, alias: Self.composed)
            let library = try LoRALibrary(folders: [folder.path])
            #expect(try library.file(named: Self.decomposed).name.hasSuffix("a/x.safetensors"))
            let other = try write(folder, "a/new.safetensors", seed: 2, alias: "mist")
            #expect(rename(folder.path + "/a/new.safetensors", folder.path + "/a/x.safetensors") == 0)
            #expect(try library.file(named: "mist").digest == other)
            #expect(weightsError { _ = try library.file(named: Self.composed) }?.code == .notFound)
        }
    }

    /// Two files of equal rank, by name and by alias, below one folder and below two.
    @Test(
        arguments: [
            (["a/ink.safetensors", "b/ink.safetensors"], nil), (["a/x/ink.safetensors", "b/x/ink.SAFETENSORS"], nil),
            (["a/\(composed).safetensors", "b/\(decomposed).safetensors"], nil),
            (["a/p.safetensors", "b/q/r.safetensors"], "ink"),
        ] as [([String], String?)], [[""], ["b/..", "a"], ["a/..", "b/q/../.."]])
    func twoThatFitAreRefused(_ file: ([String], String?), _ folders: [String]) throws {
        try withTemporaryFolder { folder in
            let (paths, alias) = file
            try FileManager.default.createDirectory(atPath: folder.path + "/b/q", withIntermediateDirectories: true)
            for (index, path) in paths.enumerated() { _ = try write(folder, path, seed: UInt64(index), alias: alias) }
            let name = alias ?? LoRALibrary.stem(ofPath: paths[0])
            let library = try LoRALibrary(folders: folders.map { folder.path + "/" + $0 })
            let error = weightsError { _ = try library.file(named: name) }
            #expect(error?.code == .badOption)
            for path in paths {
                #expect(error?.message.contains("/" + path) == true, "\(error?.message ?? "nothing is refused")")
                // Each can still be had by its path.
                #expect(try library.file(named: path).name.hasSuffix("/" + path))
            }
        }
    }

    @Test func oneFileByTwoWaysIsOne() throws {
        try withTemporaryFolder { folder in
            let ink = try write(folder, "a/ink.safetensors", seed: 1, alias: "pen")
            try link(folder, "b/ink.safetensors", to: "../a/ink.safetensors")
            try FileManager.default.createDirectory(atPath: folder.path + "/c", withIntermediateDirectories: false)
            #expect(Glibc.link(folder.path + "/a/ink.safetensors", folder.path + "/c/ink.safetensors") == 0)
            try FileManager.default.copyItem(
                atPath: folder.path + "/a/ink.safetensors", toPath: folder.path + "/c/copy.safetensors")
            let library = try LoRALibrary(folders: [folder.path, folder.path + "/a"])
            for name in ["ink", "pen", "copy"] { #expect(try library.file(named: name).digest == ink) }
            _ = try write(folder, "d/ink.safetensors", seed: 2)
            #expect(weightsError { _ = try library.file(named: "c/../ink") }?.code == .badPath)
            let two = try LoRALibrary(folders: [folder.path])
            #expect(weightsError { _ = try two.file(named: "ink") }?.code == .badOption)
        }
    }

    /// Collections are links to another disk, and links lead in circles.
    @Test func linksToFoldersAreFollowedOnce() throws {
        try withTemporaryFolder { folder in
            let ink = try write(folder, "disk/style/ink.safetensors", seed: 1)
            try link(folder, "loras/all", to: folder.path + "/disk")
            try link(folder, "loras/again", to: "all/style")
            try link(folder, "disk/style/back", to: folder.path + "/disk")
            try link(folder, "disk/style/self", to: ".")
            try link(folder, "loras/up", to: "..")
            let library = try LoRALibrary(folders: [folder.path + "/loras"])
            #expect(try library.file(named: "ink").digest == ink)
            #expect(try library.file(named: "all/style/ink").digest == ink)
            #expect(try library.file(digest: ink).digest == ink)
            let listing = LoRAListing([folder.path + "/loras"])
            #expect(listing.entries.count == 1 && listing.limitReached == nil && listing.passedOver.isEmpty, "\(listing)")
        }
    }

    @Test func limitsAreToldWhereTheyHide() throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "1/2/3/4/5/6/7/8/ink.safetensors", seed: 1)
            _ = try write(folder, "1/2/3/4/5/6/7/8/9/deep.safetensors", seed: 2)
            for index in 0..<5 { try folder.write("n\(index).txt", "") }
            let whole = try LoRALibrary(folders: [folder.path])
            #expect(try whole.file(named: "ink").name.hasSuffix("8/ink.safetensors"))
            // A path is found however deep it lies.
            #expect(try whole.file(named: "1/2/3/4/5/6/7/8/9/deep").name.hasSuffix("deep.safetensors"))
            let deep = try #require(weightsError { _ = try whole.file(named: "deep") })
            #expect(
                deep.code == .notFound && deep.message.contains("1/2/3/4/5/6/7/8/9 lies more than 8 folders deep"), "\(deep)")
            let flat = try LoRALibrary(folders: [folder.path + "/1"], limits: LoRAListing.Limits(depth: 1))
            #expect(
                weightsError { _ = try flat.file(named: "n") }?.message.contains("1/2/3 lies more than 1 folder deep") == true)
            for (path, limits) in [("1/2/3/4/5/6/7/8/9", LoRAListing.Limits(files: 0)), ("", LoRAListing.Limits(names: 3))] {
                let some = try LoRALibrary(folders: [folder.path + "/" + path], limits: limits)
                let error = try #require(weightsError { _ = try some.file(named: "n") })
                #expect(error.message.contains("the search ended early because they hold more than"), "\(error)")
                let digest = weightsError { _ = try some.file(digest: SHA256Digest(of: [1])) }
                #expect(digest?.message.contains("search ended early because they hold more than") == true)
            }
        }
    }

    /// As many files as the limit allows hide nothing.
    @Test func limitsThatAreJustKeptAreNotReached() throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "a/ink.safetensors", seed: 1)
            try folder.write("b.txt", "")
            let kept = LoRAListing([folder.path], limits: LoRAListing.Limits(files: 1, names: 3, depth: 1))
            #expect(kept.limitReached == nil && kept.entries.count == 1)
            for limits in [LoRAListing.Limits(files: 0), LoRAListing.Limits(names: 2), LoRAListing.Limits(depth: 0)] {
                #expect(LoRAListing([folder.path], limits: limits).limitReached != nil)
            }
        }
    }

    @Test func whatIsNotThereIsToldWithWhatIsNear() throws {
        try withTemporaryFolder { folder in
            _ = try write(folder, "a/Ink Wash.safetensors", seed: 1, alias: "Fog")
            try folder.write("a/broken.safetensors", "no weights")
            try link(folder, "gone", to: folder.path + "/unmounted")
            #expect(mkfifo(folder.path + "/a/pipe.safetensors", 0o600) == 0)
            let library = try LoRALibrary(folders: [folder.path])
            for (name, near) in [("ink wash", "Ink Wash"), ("a/ink wash", "a/Ink Wash"), ("FOG", "Fog")] {
                let error = try #require(weightsError { _ = try library.file(named: name) })
                #expect(error.code == .notFound && error.message.contains("did you mean \"\(near)\""), "\(error)")
                #expect(error.message.contains("a/Ink Wash.safetensors"))
            }
            let spaces = try #require(weightsError { _ = try library.file(named: " my pen") })
            #expect(spaces.message.contains("put \" my pen.safetensors\" there"), "\(spaces)")
            // A path without its ending names no file, and the error names the probable file.
            let path = folder.path + "/a/Ink Wash"
            #expect(
                weightsError { _ = try LoRAFile(path: path) }?.message
                    == "\(path) does not exist; did you mean \"\(path).safetensors\"?")
            let whole = weightsError { _ = try LoRAFile(path: folder.path) }
            #expect(whole?.message.hasPrefix("\(folder.path) is a folder, and a LoRA is a .safetensors file; ") == true)
            let file = folder.path + "/a/Ink Wash.safetensors"
            #expect(
                weightsError { _ = try LoRALibrary(folders: [file]) }?.sentence.spelled(\.option)
                    == "\(file) is not a folder; name a folder of LoRA files by --lora-model-dir.")
            let none = weightsError { _ = try LoRAFile(path: folder.path + "/a/pen") }
            #expect(none?.message.hasSuffix("check the path or the name of the LoRA file.") == true)
            let error = try #require(weightsError { _ = try library.file(named: "pen") })
            #expect(error.code == .notFound && error.message.contains("pen.safetensors"))
            for path in ["a/broken.safetensors", "gone", "a/pipe.safetensors"] {
                #expect(error.message.contains(folder.path + "/" + path), "\(error)")
            }
        }
    }

    /// A file that fits by its name and is no LoRA is an error about the file, not a reason to look further.
    @Test func aDamagedFileOfThatNameIsNamed() throws {
        try withTemporaryFolder { folder in
            try folder.write("a/ink.safetensors", "no weights")
            _ = try write(folder, "a/x.safetensors", seed: 1, alias: "ink")
            let error = weightsError { _ = try LoRALibrary(folders: [folder.path]).file(named: "ink") }
            #expect(error?.code == .malformed && error?.message.contains("a/ink.safetensors") == true)
        }
    }
}

/// A scale for the U-Net and another for the text encoders.
@Suite struct LoRAScaleTests {
    private func file() throws -> LoRAFile {
        try lora(LoRATests.pair(TinyModel.toQ, seed: 1) + LoRATests.pair(TinyModel.textQ, seed: 2))
    }

    private func merged(_ scale: LoRAScale, _ layer: String) throws -> [Float] {
        let component = layer.hasPrefix("text_model") ? "text_encoder" : "unet"
        let source = try TinyModel.source().applying([LoRAUse(file(), scale: scale)])
        return try source.weights(component: component).tensor(layer + ".weight", shape: TinyModel.weight(layer).shape).array
    }

    @Test(arguments: [(0.8, 0.5), (0, 1), (1, 0), (-0.25, 2)])
    func eachNetworkHasItsOwn(_ unet: Double, _ text: Double) throws {
        let two = LoRAScale(unet: unet, textEncoder: text)
        #expect(try merged(two, TinyModel.toQ) == merged(LoRAScale(unet), TinyModel.toQ))
        #expect(try merged(two, TinyModel.textQ) == merged(LoRAScale(text), TinyModel.textQ))
        #expect(try merged(two, TinyModel.toQ) != merged(LoRAScale(text), TinyModel.toQ))
    }

    /// One scale is hashed in the old way: see the definition at `ModelIdentity`.
    @Test func identitiesOfOneScaleStay() throws {
        let (base, file) = (TinyModel.source(), try file())
        func identity(_ scale: LoRAScale) throws -> String {
            try base.applying([LoRAUse(file, scale: scale)]).identity().hex
        }
        func defined(_ bits: String) throws -> String {
            let text = "patchloom-lora-1\n\(try base.identity().hex)\n\(file.digest.hex)\0\(bits)\n"
            return SHA256Digest(of: Array(text.utf8)).hex
        }
        #expect(try identity(0.5) == defined("3fe0000000000000"))
        #expect(try identity(LoRAScale(unet: 0.5, textEncoder: 0.5)) == identity(0.5))
        #expect(
            try identity(LoRAScale(unet: 0.5, textEncoder: 2)) == defined("3fe0000000000000\04000000000000000"))
        let all = [(0.5, 2), (2, 0.5), (0.5, 0.5), (2, 2), (0.0, -0.0)].map { LoRAScale(unet: $0.0, textEncoder: $0.1) }
        #expect(Set(try all.map(identity)).count == all.count)
        for scale in [LoRAScale(unet: .nan, textEncoder: 1), LoRAScale(unet: 1, textEncoder: .infinity)] {
            let error = weightsError { _ = try base.applying([LoRAUse(file, scale: scale)]) }
            #expect(error?.code == .malformed && error?.message.contains("scale") == true)
        }
    }
}
