/* allocators.c: the default list of allocator frames.
 *
 * In it: functions that hand the block to their caller (operator new, strdup, g_malloc, palloc), and those
 * that keep it for their caller's container (std::vector<T>::push_back, g_string_append, strbuf_add). Not in
 * it: functions that allocate for their own use (pthread_create, dlopen, fopen, printf, the loader,
 * std::thread): a block of theirs belongs to the line in them.
 *
 * The names are demangled ones without parameters, without the inline namespaces of the standard libraries
 * (std::__cxx11, std::__1, std::__debug): std::vector is libstdc++'s and libc++'s. `*` stands for any text,
 * as in fnmatch; no other character is special, so that operator new[] can be written down.
 */
#include <string.h>

#include "symbols.h"

/* clang-format off */
static const char *const default_globs[] = {
    /* malloc family: of libc, and of jemalloc, tcmalloc, mimalloc under their own prefixes */
    "malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "valloc",
    "pvalloc", "__libc_malloc", "__libc_calloc", "__libc_realloc", "__libc_reallocarray", "__libc_memalign",
    "__libc_valloc", "__libc_pvalloc", "__posix_memalign", "je_*alloc*", "je_posix_memalign", "tc_*alloc*",
    "tc_new*", "tc_memalign", "tc_posix_memalign", "mi_*alloc*", "mi_new*", "mi_*dup", "mi_posix_memalign",

    /* and what frees, for the tracebacks of freed blocks: their callers did it */
    "free", "cfree", "free_sized", "free_aligned_sized", "__libc_free", "operator delete",
    "operator delete[]", "*::operator delete", "*::operator delete[]", "std::_Destroy*", "std::destroy*",
    "std::default_delete<*>::*", "je_free", "tc_free", "tc_delete*", "mi_free*", "g_free", "g_slice_free*",
    "tm_untrack", "tm_inlined_untrack",

    /* tm.h, inlined: what an arena tells the tracer is its caller's */
    "tm_track", "tm_inlined_track",

    /* libc: what the caller has to free */
    "strdup", "__strdup", "strndup", "__strndup", "wcsdup", "getline", "getdelim", "__getline", "__getdelim",
    "_IO_getdelim", "getwline", "getwdelim", "asprintf", "__asprintf", "__asprintf_chk", "vasprintf",
    "__vasprintf", "__vasprintf_chk", "__vasprintf_internal", "_IO_vasprintf", "realpath", "__realpath",
    "realpath_stk", "canonicalize_file_name", "getcwd", "__getcwd", "get_current_dir_name", "tempnam",
    "scandir", "scandirat", "scandir64", "__scandir64_tail", "argz_*", "__argz_*", "envz_*", "obstack_*",
    "_obstack_*", "__libc_dynarray_*",
    "__libc_alloc_buffer_*", "getifaddrs", "__getifaddrs",
    "getifaddrs_internal", "if_nameindex", "__if_nameindex", "backtrace_symbols", "__backtrace_symbols",
    "glob", "glob64", "__glob", "__glob64", "wordexp", "tsearch", "__tsearch", "posix_spawn_file_actions_add*",
    "__posix_spawn_file_actions_add*", "__posix_spawn_file_actions_realloc",

    /* C++ run-time: language */
    "operator new", "operator new[]", "*::operator new", "*::operator new[]", "__cxa_allocate_exception",
    "__cxa_allocate_dependent_exception", "__cxa_vec_new", "__cxa_vec_new2", "__cxa_vec_new3",

    /* libstdc++ and libc++: allocators and what stands between them and a container */
    "__gnu_cxx::new_allocator<*>::*", "__gnu_cxx::malloc_allocator<*>::*", "__gnu_cxx::__alloc_traits<*>::*",
    "__gnu_cxx::__pool_alloc<*>::*", "__gnu_cxx::__mt_alloc<*>::*", "__gnu_cxx::bitmap_allocator<*>::*",
    "std::__new_allocator<*>::*", "std::allocator<*>::*", "std::allocator_traits<*>::*",
    "std::__allocator_traits_base::*", "std::__allocate_guarded<*>", "std::__allocate_at_least<*>",
    "std::allocate_at_least<*>", "std::__libcpp_allocate*", "std::__libcpp_operator_new<*>",
    "std::__allocation_guard<*>::*", "std::__allocated_ptr<*>::*", "std::pmr::*",
    "std::scoped_allocator_adaptor<*>::*", "std::get_temporary_buffer<*>", "std::_Temporary_buffer<*>::*",
    "std::_Construct<*>", "std::construct_at<*>", "std::__construct_at<*>", "std::__construct_range_*",
    "std::__construct_backward*", "std::__uninitialized_*", "std::uninitialized_*", "std::__do_uninit_*",
    "std::__relocate_*", "std::__copy_move*", "std::__copy_*", "std::copy<*>", "std::copy_n<*>",
    "std::move<*>", "std::forward<*>", "std::back_insert_iterator<*>::*", "std::insert_iterator<*>::*",
    "std::front_insert_iterator<*>::*",

    /* libstdc++ and libc++: containers, strings, smart pointers */
    "std::vector<*>::*", "std::_Vector_base<*>::*", "std::_Bvector_base<*>::*", "std::__vector_base<*>::*",
    "std::__split_buffer<*>::*", "std::deque<*>::*", "std::_Deque_base<*>::*", "std::__deque_base<*>::*",
    "std::list<*>::*", "std::_List_base<*>::*", "std::__list_imp<*>::*", "std::forward_list<*>::*",
    "std::_Fwd_list_base<*>::*", "std::__forward_list_base<*>::*", "std::map<*>::*", "std::multimap<*>::*",
    "std::set<*>::*", "std::multiset<*>::*", "std::_Rb_tree<*>::*", "std::__tree<*>::*",
    "std::unordered_map<*>::*", "std::unordered_multimap<*>::*", "std::unordered_set<*>::*",
    "std::unordered_multiset<*>::*", "std::_Hashtable<*>::*", "std::__detail::_Hashtable_alloc<*>::*",
    "std::__detail::_Map_base<*>::*", "std::__detail::_Insert*<*>::*",
    "std::__detail::_ReuseOrAllocNode<*>::*", "std::__detail::_AllocNode<*>::*",
    "std::__detail::_NodeBuilder<*>::*", "std::__hash_table<*>::*", "std::queue<*>::*", "std::stack<*>::*",
    "std::priority_queue<*>::*", "std::valarray<*>::*", "std::__valarray_*", "std::basic_string<*>::*",
    "std::string::*", "std::wstring::*", "std::operator+<*>", "std::__str_concat<*>", "std::to_string",
    "__gnu_cxx::__to_xstring<*>", "std::to_wstring", "std::getline<*>", "std::__add_grouping*",
    "std::make_unique<*>", "std::make_unique_for_overwrite<*>", "std::make_shared<*>",
    "std::make_shared_for_overwrite<*>", "std::allocate_shared<*>", "std::shared_ptr<*>::*",
    "std::__shared_ptr<*>::*", "std::__shared_count<*>::*", "std::unique_ptr<*>::*", "std::_Sp_*",
    "std::__shared_*", "std::function<*>::*", "std::_Function_base::*",
    "std::format<*>", "std::format", "std::vformat", "std::__do_vformat*", "std::filesystem::*path::*",
    "std::flat_map<*>::*", "std::flat_set<*>::*", "std::_Function_handler<*>::_M_manager", "std::__function::*", "std::any::*", "std::__any_imp::*",
    "std::optional<*>::*", "std::_Optional_*", "std::__optional_*", "std::variant<*>::*",
    "std::__detail::__variant::*", "std::pair<*>::pair*", "std::tuple<*>::tuple*",
    "std::_Tuple_impl<*>::_Tuple_impl*", "std::_Head_base<*>::_Head_base*", "std::basic_stringbuf<*>::*",
    "std::basic_stringstream<*>::str", "std::basic_ostringstream<*>::str", "std::basic_istringstream<*>::str",
    "std::basic_streambuf<*>::xsputn", "std::basic_streambuf<*>::sputn", "std::basic_streambuf<*>::sputc",
    "std::basic_ostream<*>::*", "std::ostream::*", "std::__ostream_insert<*>", "std::__ostream_write<*>",
    "std::__put_character_sequence<*>", "std::__pad_and_output<*>", "std::operator<< <*>",

    /* Rust: alloc, and the parts of core and hashbrown that stand between it and the caller */
    "__rust_alloc*", "__rust_realloc", "__rdl_alloc*", "__rdl_realloc", "__rg_alloc*", "__rg_realloc",
    "exchange_malloc", "*__rustc::__rust_alloc*", "*__rustc::__rust_realloc", "*__rustc::__rdl_alloc*",
    "*__rustc::__rdl_realloc", "alloc::alloc::*", "alloc::borrow::*", "alloc::boxed::*",
    "alloc::collections::*", "alloc::ffi::*", "alloc::fmt::format*", "alloc::raw_vec::*", "alloc::rc::*",
    "alloc::slice::*", "alloc::str::*", "alloc::string::*", "alloc::sync::*", "alloc::vec::*", "<alloc::*",
    "<* as alloc::*", "<& as alloc::*", "<str>::*", "<* as core::alloc::*", "<str as alloc::*",
    "core::alloc::*", "core::iter::*", "<core::iter::*", "<* as core::iter::*", "core::option::*",
    "core::result::*", "<* as core::convert::Into<*>>::into", "core::ops::function::*", "hashbrown::*",
    "<hashbrown::*", "std::collections::hash::*", "<std::collections::hash::*", "std::alloc::*",
    "<std::alloc::*", "std::sys::alloc::*", "std::sys::pal::unix::alloc::*", "std::sys::unix::alloc::*",
    "std::ffi::*", "<std::ffi::*", "<* as <std::ffi::*", "std::path::*", "<std::path::*", "<std::sys::os_str::*",
    "<std::sys::os_str_bytes::*", "<std::sys_common::os_str_bytes::*", "<[*]>::*", "<* as <[_]>::*",
    "core::fmt::*", "<core::fmt::*", "<* as core::fmt::Write*", "<&* as core::fmt::*", "<str as core::fmt::*", "<[*] as core::*", "<* as <alloc::*",
    "<core::option::*", "<core::result::*", "<core::* as core::fmt::*", "std::io::default_read_to_*",
    "std::io::append_to_string*", "std::io::Read::read_to_*", "<* as std::io::Read>::read_to_*",
    "std::io::read_until*", "std::io::BufRead::read_*", "<* as std::io::BufRead>::read_*", "std::fs::read",
    "std::fs::read::*", "std::fs::read_*", "std::env::*", "<std::env::*", "std::sys::args::*",
    "std::sys::env::*", "std::sys::pal::unix::args::*", "std::sys::pal::unix::os::getenv*",
    "std::sys::helpers::small_c_string::*", "std::sys::pal::common::small_c_string::*",

    /* D */
    "_d_new*", "_d_alloc*", "_d_array*", "gc_malloc", "gc_calloc", "gc_realloc", "gc_qalloc", "gc_extend",
    "core.memory.*",

    /* GLib */
    "g_malloc*", "g_realloc*", "g_try_malloc*", "g_try_realloc*", "g_aligned_alloc*", "g_memdup*",
    "g_str*dup*", "g_strconcat", "g_strjoin*", "g_strsplit*", "g_strnfill", "g_strescape", "g_strcompress",
    "g_vasprintf", "g_build_path*", "g_build_filename*", "g_slice_alloc*", "g_slice_copy", "g_string_*",
    "g_array_*", "g_ptr_array_*", "g_byte_array_*", "g_bytes_new*", "g_list_*", "g_slist_*", "g_queue_*",
    "g_hash_table_*", "g_tree_*", "g_object_new*", "g_type_create_instance",
    "g_node_*", "g_sequence_*", "g_datalist_*", "g_strv_builder_*", "g_rc_box_*", "g_atomic_rc_box_*",
    "g_ref_string_*", "g_utf8_*", "g_utf16_*", "g_ucs4_*", "g_unichar_*", "g_ascii_str*", "g_ascii_dtostr",
    "g_base64_*", "g_filename_*", "g_path_get_*", "g_markup_escape_text", "g_convert*", "g_locale_*",
    "g_get_current_dir", "g_file_get_contents", "g_file_read_link", "g_uri_escape*", "g_uri_unescape*",
    "g_shell_quote", "g_shell_unquote", "g_shell_parse_argv", "g_error_new*", "g_error_copy", "g_set_error*",
    "g_variant_new*", "g_variant_builder_*", "g_variant_dup*", "g_variant_print*", "g_value_*", "g_date_time_*",
    "g_get_environ", "g_environ_*", "g_compute_checksum_*", "g_async_queue_push*",

    /* Qt */
    "QArrayData::*", "QTypedArrayData<*>::*", "QArrayDataPointer<*>::*", "QListData::*", "QHashData::*",
    "QMapDataBase::*", "QMapData<*>::*", "QString::*", "QByteArray::*", "QList<*>::*", "QVector<*>::*",
    "QHash<*>::*", "QMultiHash<*>::*", "QMap<*>::*", "QSet<*>::*", "QVarLengthArray<*>::*", "QHashPrivate::*",
    "QtPrivate::*", "QSharedPointer<*>::*", "qMallocAligned", "qReallocAligned", "allocateData",
    "QtSharedPointer::*", "QStringList::*", "QLinkedList<*>::*", "QMultiMap<*>::*", "QQueue<*>::*", "QStack<*>::*",
    "QCache<*>::*", "QContiguousCache<*>::*", "QBitArray::*", "QStringBuilder<*>::*", "QStringView::*",
    "QByteArrayView::*", "QVariant::*", "QSharedDataPointer<*>::*", "QExplicitlySharedDataPointer<*>::*",
    "QArrayDataOps::*", "QGenericArrayOps<*>::*", "QPodArrayOps<*>::*", "QConcatenable<*>::*", "qstrdup",

    /* CPython */
    "PyMem_*", "_PyMem_*", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "_PyObject_Malloc",
    "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_DebugMalloc", "_PyObject_New", "_PyObject_NewVar",
    "_PyObject_GC_*", "gc_alloc", "PyType_GenericAlloc", "_PyType_AllocNoTrack", "PyUnicode_New",
    "_PyUnicode_New", "PyBytes_FromStringAndSize", "_PyBytes_FromSize", "PyTuple_New", "tuple_alloc",
    "PyList_New", "list_resize", "PyDict_New", "new_keys_object", "_PyLong_New", "PyObject_New*",
    "PyObject_GC_New*", "PyObject_GC_Resize", "PyType_GenericNew", "PyUnicode_From*", "PyUnicode_Decode*",
    "PyUnicode_Concat", "PyUnicode_Append*", "PyUnicode_Join", "PyUnicode_Substring", "PyUnicode_Intern*",
    "PyUnicode_Format", "PyUnicode_As*String", "PyUnicode_AsEncodedString", "PyUnicode_Resize", "_PyUnicode*",
    "PyBytes_*", "_PyBytes_*", "PyByteArray_*", "PyLong_From*", "_PyLong_From*", "PyFloat_From*",
    "PyComplex_From*", "PyTuple_*", "_PyTuple_*", "PyList_*", "_PyList_*", "PyDict_*", "_PyDict_*",
    "_PyObjectDict_*", "insertdict", "insertion_resize", "dictresize", "dict_new*", "PySet_*", "_PySet_*",
    "PyFrozenSet_New", "set_add_entry", "set_table_resize", "PyCapsule_New", "PySlice_New", "PyCell_New",
    "PyMethod_New", "PyCFunction_New*", "PyCMethod_New", "PyWeakref_New*", "PyMemoryView_From*",

    /* SQLite */
    "sqlite3_malloc*", "sqlite3_realloc*", "sqlite3_mprintf", "sqlite3_vmprintf", "sqlite3_str_*",
    "sqlite3Malloc*", "sqlite3MemMalloc", "sqlite3MemRealloc", "sqlite3Realloc", "sqlite3DbMalloc*",
    "sqlite3DbRealloc*", "sqlite3DbStr*Dup", "sqlite3DbSpanDup", "sqlite3MPrintf", "sqlite3VMPrintf",
    "sqlite3StrAccum*", "sqlite3ArrayAllocate", "sqlite3PageMalloc", "sqlite3ScratchMalloc",
    "sqlite3Strdup", "sqlite3_serialize", "sqlite3_get_table*", "sqlite3_expanded_sql",
    "mallocWithAlarm", "dbMallocRawFinish", "dbReallocFinish", "pcache1Alloc", "pcache1AllocPage",

    /* wrappers that many programs have */
    "xmalloc*", "xcalloc*", "xrealloc*", "xzalloc", "xzmalloc", "xnmalloc", "xnrealloc", "xpalloc",
    "x2realloc", "x2nrealloc", "ximalloc", "xicalloc", "xirealloc", "xstrdup*", "xstrndup*", "xmemdup*",
    "xasprintf", "xvasprintf", "xstrfmt", "xstrvfmt", "do_xmalloc", "emalloc", "ecalloc", "erealloc",
    "estrdup", "_emalloc*", "_ecalloc*", "_erealloc*", "_safe_emalloc*", "safe_malloc", "safe_calloc",
    "x_malloc", "x_calloc", "x_realloc", "x_strdup", "_xmalloc", "_xcalloc", "_xrealloc", "_xstrdup",
    "xcharalloc", "x2nmalloc", "xget*cwd", "xgetline", "ck_malloc", "ck_realloc", "safe_realloc", "safe_strdup", "mem_alloc",
    "mem_calloc", "mem_realloc", "checked_malloc", "checked_calloc", "checked_realloc", "my_malloc",
    "my_calloc", "my_realloc", "my_strdup", "ALLOC_GROW", "greedy_realloc*", "memdup*", "strjoin_real",

    /* libraries and programs with allocators of their own */
    "zmalloc*", "zcalloc*", "zrealloc*", "ztrymalloc*", "ztrycalloc*", "ztryrealloc*", "zstrdup", "sdsnew*",
    "_sdsnewlen", "sdsempty", "sdsdup", "sdscat*", "sdsMakeRoomFor*", "_sdsMakeRoomFor", "sdsgrowzero",
    "ngx_alloc", "ngx_calloc", "ngx_memalign", "ngx_palloc*", "ngx_pnalloc", "ngx_pcalloc", "ngx_pmemalign",
    "apr_palloc*", "apr_pcalloc*", "apr_pstr*", "apr_psprintf", "apr_pmemdup", "palloc*", "repalloc*",
    "MemoryContextAlloc*", "AllocSetAlloc*", "AllocSetRealloc", "pstrdup", "pnstrdup", "psprintf",
    "pg_malloc*", "pg_realloc*", "pg_strdup", "strbuf_*", "talloc_*", "_talloc_*", "__talloc*",
    "CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_calloc", "CRYPTO_realloc", "CRYPTO_clear_realloc",
    "CRYPTO_strdup", "CRYPTO_strndup", "CRYPTO_memdup", "BUF_MEM_grow*", "curl_d*alloc", "curl_dstrdup",
    "xmlStrdup", "xmlStrndup", "xmlMemMalloc", "xmlBufGrow*", "jv_mem_*", "l_alloc", "luaM_*", "lzma_alloc*",
    "Perl_safesys*alloc", "ruby_x*alloc*", "objspace_x*alloc*", "__gmp_default_*allocate", "uv__malloc",
    "uv__calloc", "uv__realloc", "uv__strdup", "uv__strndup", "event_mm_*", "bfd_malloc*", "bfd_zmalloc*",
    "bfd_realloc*", "memory::allocate", "memory::reallocate", "llvm::safe_malloc", "llvm::safe_calloc",
    "llvm::safe_realloc", "llvm::allocate_buffer", "llvm::MallocAllocator::*",
    "llvm::BumpPtrAllocatorImpl<*>::*", "llvm::SmallVector*", "llvm::StringMap*", "llvm::DenseMap*",
    "llvm::SmallPtrSet*", "llvm::FoldingSetBase::*", "absl::container_internal::*", "boost::container::*",
    "boost::make_shared<*>", "boost::allocate_shared<*>",
};
/* clang-format on */

/* `*` in `glob` stands for any text. */
static bool glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text != '\0') {
        if (*glob == '*') {
            star = ++glob;
            resume = text;
        } else if (*glob == *text) {
            glob++;
            text++;
        } else if (star) {
            glob = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*glob == '*') {
        glob++;
    }
    return *glob == '\0';
}

/* What follows "std::" and the inline namespaces in it; NULL when it is not there. */
static const char *behind_std(const char *function)
{
    static const char *const namespaces[] = {"__cxx11::", "__1::", "__debug::", "__cxx1998::", "__ndk1::"};
    if (strncmp(function, "std::", 5) != 0) {
        return NULL;
    }
    const char *rest = function + 5;
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(*namespaces);) {
        size_t size = strlen(namespaces[i]);
        bool found = strncmp(rest, namespaces[i], size) == 0;
        rest += found ? size : 0;
        i = found ? 0 : i + 1;
    }
    return rest;
}

static bool default_matches(const char *function)
{
    const char *bare = behind_std(function);
    for (size_t i = 0; i < sizeof(default_globs) / sizeof(*default_globs); i++) {
        const char *glob = default_globs[i];
        bool found = bare && strncmp(glob, "std::", 5) == 0
                         ? glob_matches(glob + 5, bare)
                         : (*glob == *function || *glob == '*') && glob_matches(glob, function);
        if (found) {
            return true;
        }
    }
    return false;
}

bool ca_is_allocator_function(const char *function, const char *const *extra_globs, size_t extra_count)
{
    if (!function) {
        return false;
    }
    size_t size = extra_count > 0 ? strlen(function) : 0;
    for (size_t i = 0; i < extra_count; i++) {
        if (ca_pattern_matches(extra_globs[i], strlen(extra_globs[i]), function, size)) {
            return true;
        }
    }
    return default_matches(function);
}

bool ca_is_allocator_position(const struct ca_position *position, const char *const *extra_globs,
                              size_t extra_count)
{
    bool found = ca_is_allocator_function(position->function, extra_globs, extra_count);
    for (const char *const *alias = position->aliases; alias && *alias && !found; alias++) {
        found = ca_is_allocator_function(*alias, extra_globs, extra_count);
    }
    return found;
}
