import CKernels

extension ComputeContext {
    /// Nearest-neighbour resize as PyTorch's `interpolate(mode="nearest")`: source index floor(i · in/out), the ratio in f32.
    ///
    /// - Parameter x: (n, h, w, c), of any element type.
    /// - Returns: (n, height, width, c)
    public func resizeNearest(_ x: Tensor, height: Int, width: Int) -> Tensor {
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        func positions(from source: Int, to target: Int) -> [Int] {
            let ratio = Float(source) / Float(target)
            return (0..<target).map { min(Int((Float($0) * ratio).rounded(.down)), source - 1) }
        }
        note(.nearestResize(x.shape, height: height, width: width), x.elementType)
        let (rows, columns) = (positions(from: h, to: height), positions(from: w, to: width))
        return gatherRows(of: x, shape: [n, height, width, c]) { pixel in
            let row = pixel / width
            return (row / height * h + rows[row % height]) * w + columns[pixel % width]
        }
    }

    /// A part of an image of twice the size: point (y, x) is the image's point (y / 2, x / 2).
    ///
    /// - Parameters:
    ///   - x: (1, h, w, c), of any element type.
    ///   - rows: within 0 ..< 2h.
    ///   - columns: within 0 ..< 2w.
    /// - Returns: (1, rows, columns, c)
    public func doubled(_ x: Tensor, rows: Range<Int>, columns: Range<Int>) -> Tensor {
        let (w, c) = (x.shape[2], x.shape[3])
        precondition(
            x.shape[0] == 1 && rows.upperBound <= 2 * x.shape[1] && columns.upperBound <= 2 * w,
            "rows \(rows) and columns \(columns) are no part of twice \(x.shape)")
        note(.nearestResize(x.shape, height: rows.count, width: columns.count), x.elementType)
        return gatherRows(of: x, shape: [1, rows.count, columns.count, c]) { pixel in
            let (row, column) = pixel.quotientAndRemainder(dividingBy: columns.count)
            return (rows.lowerBound + row) / 2 * w + (columns.lowerBound + column) / 2
        }
    }

    /// A part of an image; the image itself if it is all of it.
    ///
    /// - Parameter x: (1, h, w, c), of any element type.
    /// - Returns: (1, rows, columns, c)
    public func cropped(_ x: Tensor, rows: Range<Int>, columns: Range<Int>) -> Tensor {
        guard columns.count < x.shape[2] else { return rows.count < x.shape[1] ? x.rows(rows) : x }
        let (w, c) = (x.shape[2], x.shape[3])
        precondition(
            x.shape[0] == 1 && rows.upperBound <= x.shape[1] && columns.upperBound <= w,
            "rows \(rows) and columns \(columns) are no part of \(x.shape)")
        return gatherRows(of: x, shape: [1, rows.count, columns.count, c]) { pixel in
            let (row, column) = pixel.quotientAndRemainder(dividingBy: columns.count)
            return (rows.lowerBound + row) * w + columns.lowerBound + column
        }
    }

    /// Bicubic resize as PyTorch's `interpolate(mode="bicubic", align_corners=False)`: a = −0.75, no antialiasing, border
    /// clamped.
    ///
    /// - Parameter x: (n, h, w, c)
    /// - Returns: (n, height, width, c)
    public func resizeBicubic(_ x: Tensor, height: Int, width: Int) -> Tensor {
        let table = kernels("resizeBicubic", x)
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let y = empty([n, height, width, c], of: x.elementType)
        var rows = [ck_bicubic_tap](repeating: ck_bicubic_tap(), count: height)
        var columns = [ck_bicubic_tap](repeating: ck_bicubic_tap(), count: width)
        ck_bicubic_taps(h, height, &rows)
        ck_bicubic_taps(w, width, &columns)
        let (input, output) = (x.raw, y.raw)
        rows.withUnsafeBufferPointer { rows in
            columns.withUnsafeBufferPointer { columns in
                pool.run(n * height) { index, _ in
                    table.bicubic_row(
                        input + index / height * h * w * c, w, c, rows.baseAddress! + index % height, columns.baseAddress!,
                        width, output + index * width * c)
                }
            }
        }
        return y
    }

    /// The mean of 2×2 pixels with stride 2, or of fewer pixels at an odd border (PyTorch's
    /// `avg_pool2d(2, 2, ceil_mode=True)`).
    ///
    /// - Parameter x: (n, h, w, c)
    /// - Returns: (n, ⌈h/2⌉, ⌈w/2⌉, c)
    public func averagePool2x2(_ x: Tensor) -> Tensor {
        let table = kernels("averagePool2x2", x)
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let (height, width) = ((h + 1) / 2, (w + 1) / 2)
        let y = empty([n, height, width, c], of: x.elementType)
        let (input, output) = (x.raw, y.raw)
        pool.run(n * height) { index, _ in
            let row = index % height * 2
            table.average_pool_row(
                input + (index / height * h + row) * w * c, min(2, h - row), w, c, output + index * width * c)
        }
        return y
    }

    /// Cuts each image into 2×2 windows of half its sides, after rolling it cyclically by (−shiftRows, −shiftColumns).
    ///
    /// - Parameter x: (b, h, w, c) with even h and w, of any element type.
    /// - Returns: (4b, h/2·w/2, c); window 4·b + 2·I + J holds rows I·h/2 … and columns J·w/2 ….
    public func splitWindows(_ x: Tensor, shiftRows: Int, shiftColumns: Int) -> Tensor {
        let (b, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let windows = WindowGrid(height: h, width: w, shiftRows: shiftRows, shiftColumns: shiftColumns)
        return gatherRows(of: x, shape: [4 * b, h / 2 * (w / 2), c]) { windows.pixel(ofToken: $0) }
    }

    /// The inverse of `splitWindows`.
    ///
    /// - Parameter windows: (4·batch, height/2·width/2, c), of any element type.
    /// - Returns: (batch, height, width, c)
    public func mergeWindows(
        _ windows: Tensor, batch: Int, height: Int, width: Int, shiftRows: Int, shiftColumns: Int
    ) -> Tensor {
        let c = windows.dimension(-1)
        precondition(
            windows.count == batch * height * width * c, "\(windows.shape) does not fill \(batch) of \(height)×\(width)")
        let grid = WindowGrid(height: height, width: width, shiftRows: shiftRows, shiftColumns: shiftColumns)
        return gatherRows(of: windows, shape: [batch, height, width, c]) { grid.token(ofPixel: $0) }
    }
}

/// Tokens of the windows of rolled images, and the pixels of the original images.
private struct WindowGrid {
    let height: Int
    let width: Int
    let shiftRows: Int
    let shiftColumns: Int

    init(height: Int, width: Int, shiftRows: Int, shiftColumns: Int) {
        precondition(height % 2 == 0 && width % 2 == 0, "\(height)×\(width) does not halve into windows")
        precondition(shiftRows >= 0 && shiftColumns >= 0, "window shifts are not negative")
        (self.height, self.width) = (height, width)
        (self.shiftRows, self.shiftColumns) = (shiftRows % height, shiftColumns % width)
    }

    func pixel(ofToken token: Int) -> Int {
        let (h, w) = (height / 2, width / 2)
        let (window, place) = (token / (h * w), token % (h * w))
        let (row, column) = (window % 4 / 2 * h + place / w, window % 2 * w + place % w)
        return (window / 4 * height + (row + shiftRows) % height) * width + (column + shiftColumns) % width
    }

    func token(ofPixel pixel: Int) -> Int {
        let (h, w) = (height / 2, width / 2)
        let row = (pixel / width + height - shiftRows) % height
        let column = (pixel % width + width - shiftColumns) % width
        let window = pixel / (height * width) * 4 + row / h * 2 + column / w
        return (window * h + row % h) * w + column % w
    }
}
