import Foundation
import Testing

/// The places of files.
@Suite struct LayoutTests {
    @Test func topLevelHoldsOnlyWhatTheDesignNames() throws {
        let allowed: Set<String> = ["Package.swift", "Sources", "Tests", "deploy", "README.md", "LICENSE", "NOTICE"]
        let present = try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.path)
        let strangers = present.filter { !$0.hasPrefix(".") && !allowed.contains($0) && !SourceTree.ignoredAtTop.contains($0) }
        #expect(strangers.isEmpty, "move these below Sources, Tests or deploy: \(strangers.sorted())")
        #expect(Set(present).isSuperset(of: ["Package.swift", "Sources", "Tests", "deploy", "README.md", "LICENSE"]))
    }

    @Test func everyFolderOfSourcesAndTestsIsATarget() throws {
        let manifest = try SourceTree.File(path: "Package.swift").text()
        for parent in ["Sources", "Tests"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.appendingPathComponent(parent).path)
            {
                #expect(manifest.contains("\"\(name)\""), "\(parent)/\(name) is no target of Package.swift")
            }
        }
    }

    /// A header has a guard that keeps it from being compiled twice. A template is compiled several times under other macros,
    /// and ends in `.inc`.
    @Test func headersAreGuardedAndTemplatesAreNot() throws {
        let files = try SourceTree.files(below: "Sources")
        // The shim of a module map holds includes alone.
        let headers = files.filter { $0.path.hasSuffix(".h") && !$0.path.hasSuffix("/shim.h") }
        let templates = files.filter { $0.path.hasSuffix(".inc") }
        #expect(headers.count > 5 && !templates.isEmpty)
        for header in headers {
            let words = try header.text().split(whereSeparator: \.isWhitespace)
            let guarded = words.firstIndex(of: "#ifndef").map { words[$0 + 1] }
            let defined = words.firstIndex(of: "#define").map { words[$0 + 1] }
            #expect(guarded != nil && guarded == defined, "\(header.path) has no include guard")
        }
        for template in templates {
            #expect(try !template.text().contains("#ifndef"), "\(template.path) is guarded: call it .h")
        }
        for file in files where [".c", ".h", ".inc"].contains(where: { file.path.hasSuffix($0) }) {
            // A template may be included again, for another element type.
            let included = try file.text().matches(of: /#include "([^"]+)"/).map { String($0.output.1) }
                .filter { !$0.hasSuffix(".inc") }
            #expect(Set(included).count == included.count, "\(file.path) includes a file twice")
        }
    }

    /// Files above the limit are decisions, so this list names them.
    @Test func largeFilesAreNamed() throws {
        let bytesMax = 256 * 1024
        let named: Set<String> = [
            "Sources/CEmbeddedModel/model/text_encoder/model.safetensors",
            "Sources/CEmbeddedModel/model/unet/diffusion_pytorch_model.safetensors",
            "Sources/CEmbeddedModel/model/vae/diffusion_pytorch_model.safetensors",
            "Sources/CEmbeddedModel/model/examples.png",
            "Sources/CEmbeddedModel/clip/merges.txt",
            "deploy/images/compare-2x.png",
            "deploy/images/compare-4x.png", "deploy/images/compare-more-4x.png",
            "Tests/TestSupport/Fixtures/golden/cases/txt2img/tiny-sd15-batch2/expected.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd15-inpaint/unet/diffusion_pytorch_model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd15/text_encoder/model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd15/unet/diffusion_pytorch_model-00001-of-00002.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd15/unet/diffusion_pytorch_model-00002-of-00002.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd15/vae/diffusion_pytorch_model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sd21/unet/diffusion_pytorch_model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sdxl/text_encoder_2/model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sdxl/unet/diffusion_pytorch_model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sdxl/vae/diffusion_pytorch_model.safetensors",
            "Tests/TestSupport/Fixtures/golden/models/tiny-sdxl-turbo/unet/diffusion_pytorch_model.safetensors",
        ]
        let large = try SourceTree.everyFile().filter {
            try $0.url.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0 > bytesMax && !named.contains($0.path)
        }
        #expect(large.isEmpty, "over \(bytesMax) bytes and not named in this test: \(large.map(\.path))")
    }

    @Test func scriptsStopAtTheFirstErrorAndCanBeRun() throws {
        let scripts = try (SourceTree.files(below: "deploy") + SourceTree.files(below: ".ci")).filter {
            try $0.text().hasPrefix("#!")
        }
        #expect(
            scripts.map(\.path).sorted() == [
                ".ci/run", "deploy/bench.sh", "deploy/big.sh", "deploy/compare.sh", "deploy/fullsize.sh",
                "deploy/quickstart.sh", "deploy/sanitize.sh", "deploy/test.sh", "deploy/variants.sh",
            ])
        for script in scripts {
            #expect(FileManager.default.isExecutableFile(atPath: script.url.path), "chmod +x \(script.path)")
            #expect(try script.text().contains("\nset -euo pipefail\n"), "\(script.path) goes on after errors")
        }
    }

    @Test func readMeStartsWithTheTwoCommandsAndItsLinksLead() throws {
        let text = try SourceTree.File(path: "README.md").text()
        let commands = text.split(separator: "\n").filter { $0.hasPrefix("    ") || $0.hasPrefix("deploy/") }
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { $0.hasPrefix("deploy/") }
        #expect(commands.first?.hasPrefix("deploy/quickstart.sh") == true)
        #expect(commands.dropFirst().first?.hasPrefix("deploy/test.sh") == true)
        for match in text.matches(of: /\]\(([^)#:]+)\)/) {
            let path = String(match.output.1)
            #expect(
                FileManager.default.fileExists(atPath: SourceTree.root.appendingPathComponent(path).path),
                "README links to \(path)")
        }
    }
}
