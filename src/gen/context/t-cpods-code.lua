-- Code and build steps of a literate document.
--
-- A chunk of code is taken from the very lines of the file that it stands in, so it is exact: TeX
-- itself drops blanks at the ends of lines and has opinions about tabs. What TeX collected is only
-- what the lines are checked against, and what is used where there are no lines: in a buffer, or in
-- what Lua made. Where the two differ, as inside of a macro's argument, there is an error.
--
-- Files appear at the end of the last pass of a run without errors: each by rename, only where its
-- content changes, in folders that are made. JOB.steps likewise: what code there is, from which
-- sources, and what the steps are. None of them is a dependency of the run, even if it reads them.

local cpods = thirddata.cpods
local code, steps = { }, { }
cpods.code, cpods.steps = code, steps

local open = cpods.open
local report = logs.reporter("cpods-code")

-- Where an unnamed first chunk of a kind goes.
local suffixes = {
    C = "c", CHeader = "h", Cpp = "cpp", Smt = "smt2", Joy = "joy", Python = "py",
}
-- What has lines that a compiler can be told of.
local compiled = {
    c = true, h = true, cc = true, cpp = true, cxx = true, hh = true, hpp = true, hxx = true,
}

local actions = table.tohash {
    "compile", "archive", "link", "prove", "analyse", "verify", "solve", "run", "typeset",
}
local types = table.tohash {
    "source", "header", "object", "library", "program", "problem", "script", "answer", "report",
    "output", "document", "data", "figure",
}

local function fail(template, ...)
    tex.error("cpods-code: " .. string.format(template, ...))
end

-- A name without needless parts; nil if it leaves the working folder.
local function inside(name)
    if name == "" or string.find(name, "^[/~]") or string.find(name, "[%c\\]") then
        return nil
    end
    local parts = { }
    for part in string.gmatch(name, "[^/]+") do
        if part == ".." then
            return nil
        elseif part ~= "." then
            parts[#parts + 1] = part
        end
    end
    if #parts == 0 or string.sub(name, -1) == "/" then
        return nil
    end
    return table.concat(parts, "/")
end

local function checked(name)
    local good = inside(name)
    if not good then
        fail("`%s` is no file in the working folder", name)
    end
    return good
end

local function job()
    return environment.jobname or tex.jobname
end

-- The file that TeX is in, as JOB.dep names it; nil in what is no file.
local function source()
    local name = status.filename
    if not name then
        -- LuaMetaTeX has it in a table of its own.
        local state = status.readstate or status.getreadstate
        if type(state) == "function" then
            state = state()
        end
        name = type(state) == "table" and state.filename
    end
    if type(name) ~= "string" or name == "" or not lfs.isfile(name) then
        return nil
    end
    return cpods.tidy(name)
end

-- ---- Code ----

local files = { }  -- by name: file, kind, from, chunks
local last = { }   -- by kind: the name of the last chunk's file
local current = nil

local function squeezed(text)
    return (string.gsub(text, "%s+", ""))
end

-- The lines of a file from one to before the one with this command where they say the same as what
-- TeX collected, but for blanks; nil if there are no such.
local function lines_of(name, first, stop, grabbed)
    local file = open(name, "rb")
    if not file then
        return nil
    end
    local content = file:read("*a")
    file:close()
    local wanted = squeezed(grabbed)
    local lines, number = { }, 0
    for line in string.gmatch(content, "[^\n]*\n?") do
        number = number + 1
        if number >= first then
            local at = string.find(line, stop, 1, true)
            if at then
                local text = table.concat(lines)
                if string.find(string.sub(line, 1, at - 1), "%S") == nil and squeezed(text) == wanted then
                    return text
                end
            end
            lines[#lines + 1] = line
        end
    end
    return nil
end

function code.start(kind, name, line)
    if name == "" then
        name = last[kind] or (suffixes[kind] and job() .. "." .. suffixes[kind]) or ""
    end
    name = checked(name) or "-"
    last[kind] = name
    local here = source()
    if name == here or name == environment.arguments.fulljobname then
        fail("`%s` is a source of the document", name)
    end
    local numbered = line == "yes" and compiled[string.match(name, "%.([^./]+)$") or ""]
    current = { file = name, kind = kind, from = here, first = tex.inputlineno + 1, line = numbered }
end

function code.stop(buffer, command)
    local grabbed = buffers.getcontent(buffer)
    local from = current.from
    local text
    if from then
        text = lines_of(from, current.first, "\\" .. command, grabbed)
        if not text then
            fail("the code of `%s` is not what `%s` says from line %d on: it must stand on lines of its own, and in no argument",
                current.file, from, current.first)
            text = ""
        end
    else
        text = string.gsub(string.gsub(grabbed, "\r\n?", "\n"), "%s*$", "\n")
        current.line = nil
    end
    local file = files[current.file]
    if not file then
        file = { file = current.file, kind = current.kind, from = { }, chunks = { } }
        files[current.file] = file
    end
    from = from or environment.arguments.fulljobname or job()
    if not table.contains(file.from, from) then
        table.insert(file.from, from)
    end
    table.insert(file.chunks, { text = text, line = current.line and current.first, from = from })
    cpods.outputs[current.file] = true
end

function code.file()
    context.verbatim(current.file)
end

function code.chunk()
    context(files[current.file] and #files[current.file].chunks or 1)
end

-- A string as C and JSON both have it.
local function quoted(text)
    text = string.gsub(text, '[\\"]', "\\%0")
    return '"' .. string.gsub(text, "%c", function(c)
        return string.format("\\u%04x", string.byte(c))
    end) .. '"'
end

-- The whole file. A chunk that does not say where it comes from, after one that does, has the
-- file's own lines again.
local function assembled(file)
    local parts, lines, told = { }, 0, false
    local function add(text)
        parts[#parts + 1] = text
        lines = lines + select(2, string.gsub(text, "\n", ""))
    end
    for _, chunk in ipairs(file.chunks) do
        if chunk.line then
            add(string.format("#line %d %s\n", chunk.line, quoted(chunk.from)))
        elseif told then
            add(string.format("#line %d %s\n", lines + 2, quoted(file.file)))
        end
        told = chunk.line ~= nil and chunk.line ~= false
        add(chunk.text)
    end
    return table.concat(parts)
end

-- ---- Steps ----

local described, names = { }, { }
local step = nil

function steps.start(name, action)
    if name == "" or names[name] then
        fail("there is a step `%s` already", name)
    elseif not actions[action] then
        fail("a step cannot `%s`", action)
    end
    names[name] = true
    step = {
        name = name, action = action, tool = nil, flags = "", creates = { }, requires = { },
        from = source() or environment.arguments.fulljobname or job(),
    }
end

function steps.file(list, type, name)
    if not types[type] then
        fail("there are no files of type `%s`", type)
    end
    table.insert(step[list], { type = type, file = checked(name) or "-" })
end

function steps.text(what, text)
    if what == "flags" and step.flags ~= "" then
        text = step.flags .. " " .. text
    end
    step[what] = text
end

function steps.stop()
    if #step.creates == 0 and not (step.action == "prove" or step.action == "analyse" or step.action == "verify") then
        fail("step `%s` creates nothing", step.name)
    end
    table.insert(described, step)
end

function steps.show()
    local function typed(text)
        context.type(text)
    end
    context.bold(step.name)
    context(": " .. step.action)
    if step.tool then
        context(" with ")
        typed(step.tool)
    end
    if step.flags ~= "" then
        context(", ")
        typed(step.flags)
    end
    local function list(word, entries)
        if #entries > 0 then
            context.par()
            context(word .. " ")
            for i, entry in ipairs(entries) do
                typed(entry.file)
                context(i < #entries and ", " or "")
            end
        end
    end
    list("from", step.requires)
    list("makes", step.creates)
end

-- ---- At the end ----

local function as_entry(entry)
    return string.format('{ "type": %s, "file": %s }', quoted(entry.type), quoted(entry.file))
end

local function as_list(entries, convert)
    if #entries == 0 then
        return "[]"
    end
    local list = { }
    for i, entry in ipairs(entries) do
        list[i] = convert(entry)
    end
    return "[ " .. table.concat(list, ", ") .. " ]"
end

-- One item a line.
local function as_block(items)
    return #items == 0 and "[]" or "[\n    " .. table.concat(items, ",\n    ") .. "\n  ]"
end

local function listing()
    local codes, all = { }, { }
    for _, name in ipairs(cpods.sorted(files)) do
        local file = files[name]
        codes[#codes + 1] = string.format('{ "file": %s, "kind": %s, "from": %s }',
            quoted(file.file), quoted(file.kind), as_list(file.from, quoted))
    end
    for i, it in ipairs(described) do
        all[i] = string.format(
            '{ "name": %s, "action": %s, "tool": %s, "flags": %s,\n      "creates": %s,\n      "requires": %s,\n      "from": %s }',
            quoted(it.name), quoted(it.action), it.tool and quoted(it.tool) or "null", quoted(it.flags),
            as_list(it.creates, as_entry), as_list(it.requires, as_entry), quoted(it.from))
    end
    local main = cpods.tidy(environment.arguments.fulljobname or job() .. ".tex")
    return string.format('{\n  "version": 1,\n  "main": %s,\n  "code": %s,\n  "steps": %s\n}\n',
        quoted(main), as_block(codes), as_block(all))
end

local function put(name, content)
    local file = open(name, "rb")
    if file then
        local there = file:read("*a")
        file:close()
        if there == content then
            return
        end
    end
    local folder = string.match(name, "^(.*)/")
    if folder and not lfs.isdir(folder) then
        dir.mkdirs(folder)
    end
    if cpods.save(name, content) then
        report("writing %s", name)
        cpods.wrote(name)
    else
        report("cannot write %s", name)
        cpods.fail()
    end
end

cpods.at_end(function()
    for _, name in ipairs(cpods.sorted(files)) do
        put(name, assembled(files[name]))
    end
    put(job() .. ".steps", listing())
end)
