import CKernels

extension ComputeContext {
    /// The best partner of each source token among the destination tokens of its image, by the cosine of their vectors. Memory
    /// grows with the number of tokens, not with its square.
    ///
    /// - Parameters:
    ///   - x: (b, n, c)
    ///   - sources: tokens that look for a partner, the same for all images.
    ///   - destinations: possible partners; at least one.
    /// - Returns: the highest cosine of each source, and the place of its token in `destinations`, (b, sources) each. Of equal
    ///   ones the first counts; a token of zeros has the cosine 0 with all.
    public func bestMatches(
        _ x: Tensor, sources: [Int32], destinations: [Int32]
    ) -> (scores: [Float], best: [Int32]) {
        let table = kernels("bestMatches", x)
        let (batch, n, c) = (x.shape[0], x.shape[1], x.shape[2])
        precondition(!destinations.isEmpty, "sources need destinations")
        precondition((sources + destinations).allSatisfy { (0..<n).contains(Int($0)) }, "a token is not one of \(n)")
        count(products: batch * sources.count * destinations.count * c)
        var scores = [Float](repeating: 0, count: batch * sources.count)
        var best = [Int32](repeating: 0, count: batch * sources.count)
        let packed = bytes(table.match_packed_bytes(destinations.count, c))
        scratch.reserve(bytes: table.match_scratch_bytes(c))
        let (input, panels) = (x.raw, packed.base)
        let rows = table.match_source_block
        // A slice has as many blocks of sources as fit between two signs of progress.
        let slice = max(1, operationsPerSlice / max(1, 2 * rows * destinations.count * c)) * rows
        scores.withUnsafeMutableBufferPointer { scores in
            best.withUnsafeMutableBufferPointer { best in
                for image in 0..<batch {
                    let tokens = input + image * n * c
                    pool.run(total: destinations.count, chunk: table.match_panel) { first, _, _ in
                        table.match_pack(tokens, c, destinations, destinations.count, first, panels)
                    }
                    for start in stride(from: 0, to: sources.count, by: slice) {
                        whenAdvancing?()
                        // The next product throws.
                        guard goesOn() else { return }
                        let (score, place) = (scores.baseAddress!, best.baseAddress!)
                        pool.run(total: min(slice, sources.count - start), chunk: rows) { first, count, thread in
                            let at = image * sources.count + start + first
                            sources.withUnsafeBufferPointer { sources in
                                table.match_block(
                                    tokens, c, sources.baseAddress! + start + first, count, panels, destinations.count,
                                    score + at, place + at, scratch.buffer(thread))
                            }
                        }
                    }
                }
            }
        }
        return (scores, best)
    }

    /// Some tokens of each image, of any element type.
    ///
    /// - Parameters:
    ///   - x: (b, n, c)
    ///   - tokens: (m) for all images, or (b · m), each image's own.
    /// - Returns: (b, m, c)
    public func gatherTokens(_ x: Tensor, _ tokens: [Int32], perImage: Bool = false) -> Tensor {
        let (batch, n, c) = (x.shape[0], x.shape[1], x.shape[2])
        precondition(!perImage || tokens.count % batch == 0, "\(tokens.count) tokens are not \(batch) times as many")
        precondition(tokens.allSatisfy { (0..<n).contains(Int($0)) }, "a token is not one of \(n)")
        let count = perImage ? tokens.count / batch : tokens.count
        return gatherRows(of: x, shape: [batch, count, c]) { row in
            row / count * n + Int(tokens[perImage ? row : row % count])
        }
    }

    /// The mean of each group of tokens of each image.
    ///
    /// - Parameters:
    ///   - x: (b, n, c)
    ///   - offsets: the place in `members` where each group begins, (b · groups + 1).
    ///   - members: tokens within their image, (b · n); each is in one group.
    /// - Returns: (b, groups, c)
    public func averageTokens(_ x: Tensor, offsets: [Int32], members: [Int32]) -> Tensor {
        let table = kernels("averageTokens", x)
        let (batch, n, c) = (x.shape[0], x.shape[1], x.shape[2])
        precondition(members.count == batch * n && members.allSatisfy { (0..<n).contains(Int($0)) }, "members are not tokens")
        precondition(offsets.count > 1 && (offsets.count - 1) % batch == 0, "\(offsets.count) offsets are not those of groups")
        precondition(
            offsets[0] == 0 && Int(offsets[offsets.count - 1]) == members.count
                && zip(offsets, offsets.dropFirst()).allSatisfy { $0 < $1 }, "groups do not follow each other")
        let groups = (offsets.count - 1) / batch
        let y = empty([batch, groups, c], of: x.elementType)
        let (input, output) = (x.raw, y.raw)
        let chunk = max(1, 16384 / c)
        let parts = (groups + chunk - 1) / chunk
        offsets.withUnsafeBufferPointer { offsets in
            members.withUnsafeBufferPointer { members in
                pool.run(batch * parts) { index, _ in
                    let (image, first) = (index / parts, index % parts * chunk)
                    let begin = offsets.baseAddress! + image * groups
                    table.mean_rows(
                        input + image * n * c, c, begin, members.baseAddress! + Int(begin[0]), first,
                        min(chunk, groups - first), output + image * groups * c)
                }
            }
        }
        return y
    }
}
