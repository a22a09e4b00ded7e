import Acceleration
import DiffusionModels
import ImageConditioning
import TensorCore

extension RenderMachine {
    /// Bytes that a worker of this render surely does not exceed with one task in a call: a bound without a look at networks.
    ///
    /// - Parameter weightBytes: of the model's files. In memory they may be f32, and in an order that takes 16/9.
    package func mostMemory(weightBytes: Int) -> Int {
        let points = plan.passes.flatMap(\.schedule).map { $0.height * $0.width }.max() ?? 0
        let tiles = plan.passes.map {
            plan.decoding.layout(height: $0.latentHeight, width: $0.latentWidth).box(0).pointCount
        }
        // A U-Net's widest level has some dozens of kilobytes a point, with guidance.
        let calls = points * (64 << 10)
        let decode = 2 * max(DecodePlan.memoryBytes, (tiles.max() ?? 0) * model.vae.decodeBytesPerPoint)
        let (weights, overflow) = weightBytes.multipliedReportingOverflow(by: 4)
        let (sum, isMore) = weights.addingReportingOverflow(calls + decode)
        return overflow || isMore ? .max : sum
    }

    /// The forecast of the render.
    ///
    /// - Throws: for a recorded run whose numbers do not fit.
    public func forecast() throws(RenderError) -> RenderForecast {
        var forecast = RenderForecast()
        var machine = self
        let bare = machine.start().context
        let conditioned = JobContext(model, conditioning: resolved.prompts.emptyConditioning)
        forecast.add(bare, to: .encode)
        for work in resolved.prompts.works { forecast.add(tasks(1, work, model.operations(work), bare, .encode), to: .encode) }
        for index in plan.passes.indices {
            machine.move(toPass: index)
            var masks: [Bool] = []
            if index == 0 { masks = plan.source?.encodes.map { $0 == .maskedImage } ?? [] }
            var isNew = index == 0
            if machine.pass.start.enlargesPixels {
                addDecode(of: plan.passes[index - 1], bare, to: &forecast)
                (masks, isNew) = ([false], true)
            }
            // Workers drop a context that the next step does not need, and get it again later.
            if isNew { forecast.add(conditioned, to: masks.isEmpty ? machine.pass.first.phase : .picture) }
            machine.addEncodes(masked: masks, conditioned, to: &forecast)
            try machine.addCalls(conditioned, to: &forecast)
        }
        addDecode(of: machine.pass, bare, to: &forecast)
        return forecast
    }

    private func tasks(
        _ count: Int, _ work: any TaskWork, _ operations: Double, _ context: JobContext, _ phase: RenderPhase
    ) -> RenderForecast.Tasks {
        // Numbers of steps and tasks have about the digits of the middle ones.
        let task = RenderTask(phase: phase, call: plan.steps / 2, index: count / 2, contextHash: context.hash, work: work)
        return RenderForecast.Tasks(
            count, like: task, in: context, operations: operations, output: work.output(of: model))
    }

    /// Pictures of the size of the pass for the encoder, with or without masks.
    private func addEncodes(masked: [Bool], _ context: JobContext, to forecast: inout RenderForecast) {
        let (height, width, scale) = (pass.latentHeight, pass.latentWidth, model.scaleFactor)
        let operations = model.vae.encodeOperations(height: height, width: width)
        let output = PictureWork.output(of: model, height: height, width: width)
        for isMasked in masked {
            // The payload of the true task may be the largest of the render. This one stands for it.
            let point = PictureWork(width: 1, height: 1, rgb: [0, 0, 0], mask: isMasked ? [0] : nil)
            var tasks = tasks(1, point, operations, context, .picture)
            tasks.payloadBytes *= height * width * scale * scale
            (tasks.outputMetadata, tasks.outputBytes) = (output.metadata, output.byteCount)
            tasks.footprint = .encoding(height: height * scale, width: width * scale)
            forecast.add(tasks, to: .picture)
        }
    }

    /// Adds the calls of the pass. Calls of one kind differ only by digits, so the middle one stands for all.
    private mutating func addCalls(_ context: JobContext, to forecast: inout RenderForecast) throws(RenderError) {
        var kinds: [[PlannedCall]] = []
        for call in pass.schedule {
            if let last = kinds.last?.last, last.isLike(call) {
                kinds[kinds.count - 1].append(call)
            } else {
                kinds.append([call])
            }
        }
        for calls in kinds {
            let middle = calls[calls.count / 2]
            let count = calls.reduce(0) { $0 + $1.inputs }
            // Rules for tokens may change with each call.
            let operations = calls.reduce(0.0) {
                $0 + Double($1.inputs) * model.operations($1, tokens: resolved.prompts.tokens)
            }
            let work = try sampleWork(of: middle)
            var tasks = tasks(count, work, operations, context, middle.phase)
            let task = RenderTask(
                phase: middle.phase, call: middle.number, index: 0, contextHash: context.hash, work: work)
            tasks.sample = RenderForecast.Sample(
                task: task, context: context, operations: model.operations(middle, tokens: resolved.prompts.tokens),
                tasksInStep: middle.inputs, isGrouped: true)
            forecast.add(tasks, to: middle.phase)
        }
    }

    private func addDecode(of pass: RenderPass, _ bare: JobContext, to forecast: inout RenderForecast) {
        let layout = plan.decoding.layout(height: pass.latentHeight, width: pass.latentWidth)
        let latent = addLatent(layout.grid.image, bare, receivers: layout.tileCount, to: &forecast)
        let groups = model.vae.normGroups
        let moments = GroupMoments(
            count: 1, means: .init(repeating: 0, count: groups), scatters: .init(repeating: 0, count: groups))
        for section in 1..<layout.sections {
            forecast.add(
                latent.with(.moments(.init(repeating: moments, count: section), of: latent.hash)), to: .decode,
                receivers: layout.tileCount)
        }
        let boxes = (0..<layout.tileCount).map(layout.box)
        func add(_ sections: Int, section: Int, _ operations: Double, outputBytes: Int?) {
            let work = layout.work(boxes.count / 2, section: section)
            var tasks = tasks(boxes.count * sections, work, operations, latent, .decode)
            tasks.hasBase = work.section != nil
            if work.isLast { tasks.sample = decodeSample(boxes[boxes.count / 2], of: boxes.count, bare) }
            // Blended tiles are decoded one by one, and the first is the largest.
            tasks.footprint = .decoding(
                layout.blended == nil ? layout.grid : TileGrid(height: boxes[0].height, width: boxes[0].width))
            if let outputBytes { tasks.outputBytes = outputBytes }
            forecast.add(tasks, to: .decode)
        }
        if layout.sections > 1 { add(layout.sections - 1, section: layout.sections / 2, 0, outputBytes: nil) }
        // These operations count for all sections: the forecast does not divide them by section.
        let operations =
            layout.blended == nil
            ? model.vae.decodeOperations(layout.grid)
            : boxes.reduce(0) { $0 + model.vae.decodeOperations(TileGrid(height: $1.height, width: $1.width)) }
        add(
            1, section: layout.sections - 1, operations,
            outputBytes: boxes.reduce(0) { $0 + $1.pointCount } * plan.latentScale * plan.latentScale * 3)
    }

    /// The context with a latent. A point stands for the latent, which may be large.
    private func addLatent(
        _ image: ImageBox, _ bare: JobContext, receivers: Int, to forecast: inout RenderForecast
    ) -> JobContext {
        let point = Latent(
            channels: plan.latentChannels, height: 1, width: 1, values: .init(repeating: 0, count: plan.latentChannels))
        let latent = bare.with(.latent(point, tileHeight: 1, tileWidth: 1))
        forecast.add(latent, to: .decode, more: (image.pointCount - 1) * plan.latentChannels * 4, receivers: receivers)
        return latent
    }

    /// A latent of one tile's size, decoded at once.
    private func decodeSample(_ tile: ImageBox, of count: Int, _ bare: JobContext) -> RenderForecast.Sample {
        let (height, width) = (tile.height, tile.width)
        let zeros = [Float](repeating: 0, count: plan.latentChannels * height * width)
        let latent = Latent(channels: plan.latentChannels, height: height, width: width, values: zeros)
        let context = bare.with(.latent(latent, tileHeight: height, tileWidth: width))
        let work = DecodeWork(tile: 0, section: nil, height: height, width: width, isLast: true)
        return RenderForecast.Sample(
            task: RenderTask(phase: .decode, call: 0, index: 0, contextHash: context.hash, work: work), context: context,
            operations: model.vae.decodeOperations(TileGrid(height: height, width: width)), tasksInStep: count,
            isGrouped: false)
    }
}

extension PlannedCall {
    /// Whether tasks of both calls have the same members.
    fileprivate func isLike(_ other: PlannedCall) -> Bool {
        (phase, height, width, rauNet) == (other.phase, other.height, other.width, other.rauNet)
            && tokens.reductions.keys == other.tokens.reductions.keys
    }
}

extension ModelDescription {
    /// The arithmetic of a task of a call.
    fileprivate func operations(_ call: PlannedCall, tokens: Int) -> Double {
        parts.unet.operations(
            height: call.height, width: call.width, images: call.images, tokens: tokens,
            switches: call.switches)
    }

    /// The arithmetic of encoding a chunk of the prompts.
    fileprivate func operations(_ work: EncodeWork) -> Double {
        zip(parts.texts, work.ids).enumerated().reduce(0) { sum, encoder in
            let (configuration, rows) = encoder.element
            // The second encoder is one with a projection, unless its file says otherwise.
            return sum
                + configuration.operations(
                    rows: rows.count, tokens: textTokens, isProjected: configuration.hasProjection ?? (encoder.offset > 0))
        }
    }
}
