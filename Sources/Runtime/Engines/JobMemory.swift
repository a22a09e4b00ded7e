internal import Cluster
internal import Rendering
internal import Sentences
internal import TensorCore
internal import Weights

/// The memory that a render needs on a worker, for a coordinator that knows its workers' memory.
struct JobMemory: Sendable {
    let request: RenderRequest
    let model: ModelDescription
    let loras: LoRALibrary

    /// The needs with the memory in each precision, if a worker may have too little. The calls of the render are gone through
    /// only then, and if there is no worker yet.
    ///
    /// - Throws: `temporary` if all workers with the job's model and precision have too little memory.
    func needs(
        _ needs: WorkerNeeds, _ machine: RenderMachine, of workers: [WorkerProfile]
    ) throws(RuntimeError) -> WorkerNeeds {
        let able = workers.filter { needs.areMetButForMemory(by: $0) }
        let smallest = able.map(\.memoryBytes).filter { $0 > 0 }.min() ?? (able.isEmpty ? 0 : .max)
        guard machine.mostMemory(weightBytes: weightBytes) > smallest else { return needs }
        var needs = needs
        guard let forecast = try? machine.forecast() else { return needs }
        for precision in precisions(needs, able) {
            needs.memory[precision.rawValue] = remedies.need(forecast, precision)
        }
        guard !able.isEmpty, !able.contains(where: needs.areMet),
            let largest = able.max(by: { $0.memoryBytes < $1.memoryBytes }),
            let least = able.compactMap({ needs.shortage(of: $0) }).min()
        else { return needs }
        throw RuntimeError(.temporary, refusal(least, largest, able, workers, needs))
    }

    /// 0 for the embedded model, and if the files cannot be read: then their worker says so.
    private var weightBytes: Int { (try? model.source.weightByteCount()) ?? 0 }

    /// The precisions in which the job may run.
    private func precisions(_ needs: WorkerNeeds, _ able: [WorkerProfile]) -> [PrecisionChoice] {
        let named = needs.precision.map { [$0] } ?? able.flatMap(\.precisions)
        return [PrecisionChoice.f32, .bf16].filter { named.isEmpty || named.contains($0.rawValue) }
    }

    private var remedies: MemoryRemedies {
        MemoryRemedies(model.source, model, loras) { precision in
            // The workers' own numbers are not known here. The least memory is that of one task at a time.
            MemoryForecast.Host(
                workers: 1, threads: 1, group: 1, backend: .auto, precision: precision, mapsFiles: true, freeBytes: nil)
        }
    }

    private func refusal(
        _ least: Int, _ largest: WorkerProfile, _ able: [WorkerProfile], _ workers: [WorkerProfile], _ needs: WorkerNeeds
    ) -> Sentence {
        // With `auto` the workers' precision is the one that would be used. Another precision may bring in other workers.
        var asked = request
        if asked.precision == .auto, let only = largest.precisions.first.flatMap(PrecisionChoice.init) {
            asked.precision = only
        }
        let fitting = remedies.fitting(asked) { precision in
            workers.filter { WorkerNeeds(model: needs.model, precision: precision.rawValue).areMetButForMemory(by: $0) }
                .map { $0.memoryBytes == 0 ? .max : $0.memoryBytes }.max()
        }
        let remedy: Sentence =
            fitting.map { "with \($0.settings) it needs \(Amounts.bytes($0.bytes))" }
            ?? "choose a smaller picture, or start a worker on a larger host"
        let candidates = able.count == 1 ? "the worker" : "the largest of \(able.count) workers"
        return
            "A worker needs at least \(Amounts.bytes(least)) of memory for this picture, and \(candidates) that could compute it "
            + "has \(Amounts.bytes(largest.memoryBytes)); " + remedy + "."
    }
}
