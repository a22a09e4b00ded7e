import Weights

/// Files that must be refused.
enum FileCases {
    static func refuse(_ run: CaseRun) throws {
        let path = try run.golden.resolve(run.parameters.string("file"))
        var refused = false
        do throws(WeightsError) { _ = try SafetensorsFile(path: path) } catch {
            guard error.code != .notFound, error.code != .unreadable else { throw GoldenError.failed("\(error)") }
            refused = true
        }
        run.produce("refused", GoldenTensor(integers: [refused ? 1 : 0], shape: [1]))
    }
}
