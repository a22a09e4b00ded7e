extension LoRALibrary {
    /// The file that a name means. Looked for in this order, and the first rank at which something fits counts:
    ///
    /// 1. the path below a folder, `style/ink` or `style/ink.safetensors`, in the first folder that has it;
    /// 2. the file's name anywhere below the folders, as A1111's tags have it, whatever the letters of the ending; a path
    ///    below a folder too;
    /// 3. `ss_output_name`, which trainers write into a file's head.
    ///
    /// Names are compared as Unicode does, so that an accent may be a letter's own or follow it; the case of letters counts.
    /// Files of equal content, and one file reached by two ways, are one.
    ///
    /// Throws `.notFound` with the remedy, `.badPath` for a name that leads out of the folders, `.badOption` for one that
    /// means several files, by their paths, and what is wrong with the file.
    public func file(named name: String) throws(WeightsError) -> LoRAFile {
        try checkName(name)
        for folder in folders {
            let path = LoRAListing.joined(folder, name)
            if !LoRAListing.hasEnding(name), isFile(path + Self.ending) { return try LoRAFile(path: path + Self.ending) }
            if isFile(path) { return try LoRAFile(path: path) }
        }
        var listing = LoRAListing(folders, limits: limits)
        let stem = LoRAListing.withoutEnding(name)
        let named = listing.entries.filter { $0.stem == stem || LoRAListing.withoutEnding($0.relative) == stem }
        if !named.isEmpty { return try theOnly(named, called: name) }

        var aliases: [(name: String, entry: LoRAListing.Entry)] = []
        for entry in listing.entries {
            switch head(of: entry.path) {
            case .named(let alias?) where !alias.isEmpty: aliases.append((alias, entry))
            case .named: break
            case .unreadable: listing.passedOver.append(entry.path)
            }
        }
        let alike = aliases.filter { $0.name == stem || $0.name == name }.map(\.entry)
        if !alike.isEmpty { return try theOnly(alike, called: name) }
        let names = listing.entries.flatMap { entry in
            [entry.stem, LoRAListing.withoutEnding(entry.relative)].map { (name: $0, entry: entry) }
        }
        let near = (names + aliases).first { $0.name.lowercased() == stem.lowercased() }
        throw notFound(name, near, listing)
    }

    /// A folder may well be called as the file in it.
    private func isFile(_ path: String) -> Bool { fileExists(path) && !isFolder(path) }

    private func checkName(_ name: String) throws(WeightsError) {
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isInside = parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
        guard isInside, !name.utf8.contains(0), name.utf8.count <= 1024 else {
            throw WeightsError(
                .badPath, "\(quoted(name)) is no name of a LoRA; give the name of a file in the folder of --lora-model-dir.")
        }
        guard !folders.isEmpty else {
            throw WeightsError(
                .notFound,
                "The LoRA \(quoted(name)) is looked for in no folder; name the one that holds it by --lora-model-dir.")
        }
    }

    /// The one file of several that fit, if they are one.
    private func theOnly(_ candidates: [LoRAListing.Entry], called name: String) throws(WeightsError) -> LoRAFile {
        let first = candidates[0]
        guard let other = candidates.dropFirst().first(where: { !isSame(first, $0) }) else {
            return try LoRAFile(path: first.path)
        }
        throw WeightsError(
            .badOption,
            "The LoRA \(quoted(name)) may be \(first.path) or \(other.path); name one by its path below the folder, such as "
                + "\(LoRAListing.withoutEnding(first.relative)).")
    }

    private func isSame(_ a: LoRAListing.Entry, _ b: LoRAListing.Entry) -> Bool {
        if a.stamp.device == b.stamp.device && a.stamp.inode == b.stamp.inode { return true }
        // Files of other sizes need not be hashed.
        guard a.stamp.size == b.stamp.size, let digest = digest(of: a.path) else { return false }
        return digest == self.digest(of: b.path)
    }

    private func notFound(
        _ name: String, _ near: (name: String, entry: LoRAListing.Entry)?, _ listing: LoRAListing
    ) -> WeightsError {
        let places = folders.joined(separator: ", ")
        let remedy =
            if let near {
                "did you mean \(quoted(near.name)), which is \(near.entry.path)?"
            } else {
                "put \(LoRAListing.withoutEnding(name))\(Self.ending) there, or name another folder by --lora-model-dir."
            }
        return WeightsError(.notFound, "There is no LoRA \(quoted(name)) in \(places)\(Self.gaps(listing)); \(remedy)")
    }
}
