import Foundation
import ImageFiles
import StrictJSON
import Testing

extension SingleCommands {
    /// Token merging and downsampling from the command line to the picture.
    @Suite struct TokenReductionTests {
        private func plan(_ options: [String]) async throws -> Program {
            try await CommandTests.run(["plan"] + Picture.request + options, in: try Folder())
        }

        private func levels(_ program: Program) throws -> [JSONValue] {
            try #require(CommandTests.json(program)["token_reduction"]?["levels"]?.arrayValue)
        }

        /// Several factors follow one option and end where the next begins, also one with `_` and one whose value has a dash.
        @Test func factorsFollowOneOption() async throws {
            for options in [
                ["--todo_factor", "4", "2.5", "--todo_max_depth", "2", "-n", "-ugly", "--json"],
                ["--json", "-n", "-ugly", "--todo-factor", "4", "2.5"], ["--todo-factor=4", "2.5", "--json"],
            ] {
                let program = try await plan(options)
                try #require(program.ending?.code == 0, "\(program.errorLines)")
                #expect(try levels(program).map { $0["factor"]?.doubleValue } == [4, 2.5], "\(options)")
            }
        }

        @Test func namesOfOtherProgramsAreKnown() async throws {
            let a1111 = try await plan(["--token-merging-ratio", "0.4", "--json"])
            let level = try #require(levels(a1111).first)
            #expect(level["ratio"]?.doubleValue == 0.4 && level["destinations"] == "fixed" && level["layers"] == ["attention"])
            let tomesd = try await plan([
                "--tome_ratio", "0.5", "--tome_sx", "4", "--tome_sy", "3", "--tome_max_downsample", "2", "--tome_queries_only",
                "--tome_layers", "attention", "--tome_destinations", "random", "--token_steps", "0:0.5",
            ])
            #expect(
                tomesd.outputLines.contains {
                    $0.contains("0.5 of the tokens at level 1, 2, 10 of 16 transformer blocks, queries only, calls 1 to 3 of 6")
                }, "\(tomesd.outputLines)")
        }

        /// A1111 has its own ratio for the hires pass. ToDo can be limited to that pass too.
        @Test func laterStagesHaveTheirOwn() async throws {
            func plan(_ options: [String]) async throws -> Program {
                let picture = ["plan", "-p", "an apple", "-W", "256", "-H", "256", "--method", "hires", "--json"]
                return try await CommandTests.run(picture + options, in: try Folder())
            }
            let ratio = try await plan(["--token-merging-ratio", "0", "--token-merging-ratio-hr", "0.5"])
            let tokens = try #require(CommandTests.json(ratio)["token_reduction"])
            #expect(tokens["later_ratio"]?.doubleValue == 0.5 && tokens["calls"]?.arrayValue?.count == 2)
            let alone = try await plan(["--token_merging_ratio_hr", "0.5"])
            #expect(try CommandTests.json(alone)["token_reduction"] == tokens)
            let same = try await plan(["--tome-ratio", "0.4", "--token-merging-ratio-hr", "0"])
            #expect(
                try CommandTests.json(same)["token_reduction"]?["later_ratio"] == nil, "0 is that of the first, as in A1111")
            let later = try await plan(["--todo-factor", "2", "--todo-scope", "all", "--token-stages", "later"])
            let calls = try #require(CommandTests.json(later)["token_reduction"]?["calls"]?.arrayValue)
            #expect(calls[0] == [0, 0] && calls[1].arrayValue?.last?.intValue ?? 0 > 0)
        }

        @Test func wrongSettingsAreNamedInOneLine() async throws {
            let wrong: [([String], String)] = [
                (["--tome-sx", "2"], "--tome-ratio"), (["--tome-queries-only"], "--tome-ratio"),
                (["--todo-max-depth", "2"], "--todo-factor"), (["--token-steps", "0:1"], "--tome-ratio"),
                (["--tome-ratio", "1.5"], "1.5"), (["--todo-factor", "0.5"], "0.5"), (["--todo-factor"], "--todo-factor"),
                (["--todo-factor", "2", "x"], "'x'"), (["--todo-factor", "2", "2", "--todo-max-depth", "3"], "depth of 3"),
                (["--tome-ratio", "0.5", "--todo-factor", "2"], "level 1"),
                (["--tome-ratio", "0.5", "--tome-levels", "1,x"], "1,x"),
                (["--tome-ratio", "0.5", "--tome-layers", "all"], "attention, cross and mlp"),
                (["--tome-ratio", "0.5", "--tome-destinations", "best"], "fixed, random"),
                (["--todo-factor", "2", "--todo-method", "area"], "nearest, nearest-exact"),
                (["--todo-factor", "2", "--token-steps", "half"], "0:0.8"),
                (["--todo-factor", "2", "--todo-scope", "queries"], "keys_values, all"),
                (["--todo-scope", "all"], "--todo-factor"),
                (["--todo-factor", "2", "--token-stages", "first"], "all, later"),
                (["--token-stages", "later"], "--tome-ratio"),
                (["--tome-ratio", "0.5", "--tome-hires-ratio", "2"], "2.0"),
                (["--tome-hires-ratio", "0.5"], "--tome-hires-ratio"),
                (["--tome-ratio", "0.5", "--tome-hires-ratio", "0.2", "--tome-final-ratio", "0.3"], "--tome-final-ratio"),
                (["--tome-ratio", "0.5", "--tome-hires-ratio", "0.2"], "--tome-hires-ratio"),
            ]
            for (options, word) in wrong {
                let program = try await plan(options)
                #expect(program.ending?.code != 0 && program.errorLines.count == 1, "\(options): \(program.errorLines)")
                #expect(program.errorLines.first?.contains(word) == true, "\(options): \(program.errorLines)")
            }
        }

        /// The destinations do not depend on the worker that computes a patch.
        @Test func workersDoNotMatter() async throws {
            let options = ["--tome-ratio", "0.5", "--tome-destinations", "random", "--todo-factor", "1", "2"]
            let one = try await Picture.render(
                options + ["--workers", "1", "--threads-per-worker", "2"], in: try Folder())
            one.expectContent()
            let three = try await Picture.render(
                options + ["--workers", "3", "--threads-per-worker", "1"], in: try Folder())
            #expect(one.image.pixels == three.image.pixels)
            #expect(try await one.image.pixels != ReferencePicture.shared.pixels())
        }
    }
}
